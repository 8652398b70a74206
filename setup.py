"""What the package is called, holds and needs.  Build system and tool settings: pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

TEST = [
    # tests/fuzz goes without it elsewhere, and finds less
    "atheris>=3; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'",
    "hypothesis>=6.100",
    "jsonschema-rs>=0.30",  # comes with schemathesis
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "pytest-twisted>=1.14.3",
    "schemathesis>=4.32",
    "sphinx>=7.2",  # tests/test_docs.py builds the documents
    # tests/integration/test_packaging.py builds wheels without network, so the builder must be here
    "setuptools>=65",
    "wheel",
]

setup(
    name="oadrvtn",
    version="0.1.0.dev0",  # the only place; programs ask importlib.metadata.version("oadrvtn")
    description="An OpenADR 2.0b VTN on Twisted: serves VENs over HTTPS with client certificates",
    long_description=Path(__file__).with_name("README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Home Automation",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    install_requires=[
        "alembic>=1.13",
        "attrs>=23.2",
        "cattrs>=24.1",
        "click>=8.1",
        "cryptography>=46",
        "klein>=24.8",
        "lxml>=5.2",
        "prometheus-client>=0.20",
        "pyopenssl>=26.4",
        "rich>=13.7",
        "service-identity>=24.1",
        "signxml>=4.5",
        "sqlalchemy>=2",
        "treq>=24.9",
        "twisted[tls]>=26.10",
        "werkzeug>=3",  # klein stands on it; the API uses its errors and converters by name
    ],
    extras_require={
        "test": TEST,
        "bench": ["matplotlib>=3.8"],  # only for the pictures of `python -m bench compare --publish`
        "dev": [*TEST, "build", "lxml-stubs", "mypy", "mypy-zope", "ruff", "towncrier", "tox"],
    },
    # Written out, so that an editable install is one line in a .pth file.  By default setuptools puts in an
    # import hook for this layout, and twistd, which looks for plugins in the folders of sys.path, sees none.
    package_dir={"": "."},
    # twisted.plugins is Twisted's package: our one file goes into it, and no __init__.py ever.
    packages=[*find_packages(include=["oadrvtn", "oadrvtn.*"]), "twisted.plugins"],
    package_data={"oadrvtn": ["py.typed", "storage/migrations/*", "storage/migrations/versions/*"]},
    entry_points={"console_scripts": ["oadrvtn = oadrvtn.cli:main"]},
)
