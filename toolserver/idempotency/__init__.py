"""Requests that are sent again and made once: keys, and the answers kept for them."""
