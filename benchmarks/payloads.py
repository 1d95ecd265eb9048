"""What the RPC rows send and expect back."""

TEXT = "The quick brown fox jumps over the lazy dog"

RECORDS = [
    {
        "id": number,
        "name": f"Article {number}",
        "email": f"buyer{number}@example.org",
        "price": 19.5 + number,
        "quantity": 3,
        "active": number % 2 == 0,
        "tags": ["new", "red", "large"],
        "note": "to be sent before noon",
        "rank": 100 - number,
        "ratio": 0.25,
    }
    for number in range(10)
]
