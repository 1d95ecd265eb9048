"""The pytest plugin: the process is patched before anything else is imported."""

from gevent import monkey

monkey.patch_all()
