"""Packaging of Toolserver; settings of the tools live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="toolserver",
    version="1.0.0.dev0",
    description="Turns typed Python classes into REST, XML-RPC and JSON-RPC services",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["toolserver", "toolserver.*"]),
    package_data={"toolserver": ["py.typed"], "toolserver.pages": ["assets/*"]},
    python_requires=">=3.11",
    install_requires=[
        "gevent>=26.4",
        "httptools>=0.9",
        "msgspec>=0.22",
        "click>=8.3",
        "markdown-it-py>=4.3",
        "markupsafe>=3.0",
        "docstring-parser>=0.18",
        "markdown-it-py>=4.0",
        "multipart>=2.0",
        "requests>=2.34",
    ],
    extras_require={
        "compress": [
            "brotli>=1.2",
            "backports-zstd>=1.8; python_version < '3.14'",
        ],
        "rst": ["docutils>=0.22"],
        "sqlalchemy": ["sqlalchemy>=2.1"],
        "postgresql": ["psycopg[binary]>=3.3", "sqlalchemy>=2.1"],
        "dev": [
            "backports-zstd>=1.8; python_version < '3.14'",
            "brotli>=1.2",
            "h11>=0.16",
            "bottle>=0.13",
            "django>=5.2",
            "docutils>=0.22",
            "feedparser>=6.0.12",
            "flask>=3.1",
            "gunicorn>=27",
            "html5lib>=1.1",
            "hypothesis>=6.170",
            "import-linter>=2.16",
            "lxml>=6.1",
            "lxml-stubs>=0.5",
            "mypy>=2.4",
            "psycopg[binary]>=3.3",
            "playwright>=1.60",
            "pytest>=9.2",
            "pytest-timeout>=2.4",
            "ruff>=0.17",
            "sqlalchemy>=2.1",
            "trustme>=1.2",
            "types-docutils>=0.22",
            "types-gevent>=26.9",
            "types-requests>=2.33",
            "werkzeug>=3.1",
            "zeep>=4.3",
        ],
    },
    entry_points={
        "console_scripts": ["tsctl=toolserver.__main__:main"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Server",
        "Typing :: Typed",
    ],
)
