"""The version, in one place: setup.py reads this file, everything else imports it."""

__version__ = "0.1.0"
