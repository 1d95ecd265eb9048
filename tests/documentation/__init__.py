"""All that the documentation shows is tried as it stands there.

A page is run from top to bottom, whatever its name is, by somebody whose home is empty:

- Commands in ``console`` blocks stand behind ``$``, what they print below them: ``…``
  stands for anything on a line, a line of ``...`` for any lines. Ids, times, ports and
  process ids may be others. ``cat > FILE`` writes what follows into the file.
- A page that starts a server has that one on port 4334. Clients of all others find the
  server of `tests.documentation.stage` there.
- ``python`` blocks share one module; tools in them are served, and tests are run. A
  block of Python or TOML whose first line is a comment with a path, such as
  ``# ~/shop/tools/shop.py``, is written to that file instead.
- ``toml`` is read as settings, ``json``, ``xml``, ``js`` and ``nginx`` are parsed.
- What cannot be run is listed with its reason in `tests.documentation.reasons`.
"""
