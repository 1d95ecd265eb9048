"""HTML, XML and RSS written as Python calls, escaped by default."""
