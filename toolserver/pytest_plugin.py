"""For tests that run a server: ``pytest -p toolserver.pytest_plugin``.

It patches the process for gevent before anything else is imported. Because that
changes the whole process, it is used only where it is asked for.
"""

from gevent import monkey

monkey.patch_all()
