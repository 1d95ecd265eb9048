"""What the page about the debugger tells is what there is."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "debugger.md").read_text()


def test_the_page_names_all_commands_and_no_others(client):
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.M)
    told = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    offered = {line.split("(")[0].split()[0] for line in client("help()").splitlines()}
    assert told == offered


def test_the_function_of_the_page_takes_the_place_of_a_method(client, server):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    client(
        code.replace("shop.place", "shop.order")
        .replace("item: str, ", "")
        .replace("{count} of {item}", "{count}")
    )
    assert server.http.get("/shop/order?count=3").text == "3"
    assert server.http.get("/shop/order?count=3000").status_code == 500
