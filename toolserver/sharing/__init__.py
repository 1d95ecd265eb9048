"""What the processes of one server share, and how it is carried between them."""
