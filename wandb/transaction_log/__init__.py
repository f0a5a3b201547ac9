"""The transaction log as bytes: format, writer, parser, reader, verify.  Spec: schema/log/FORMAT.md.

Nothing here knows what a record means, and nothing here needs more than the standard library.
"""
