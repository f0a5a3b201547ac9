"""The local server: the W&B protocol on a database, and a web page to look at the runs.

    database   the tables, how to open them, the version guard
    lines      the line files of a run (history, events, console) as rows of chunks
    store      every question and every change, each one transaction
    blobs      the bytes of uploaded files, by content
    access     API keys, page sessions, signed upload addresses, which hosts we answer for
    graph      /graphql: schema.graphql and its resolvers
    protocol   what clients call: /graphql, file_stream, uploads
    reading    /api: the end state of runs, for programs and tests
    curves     history rows -> columns -> few enough points to draw
    page       the web page and its data
    app        all of it as one ASGI application
    serve      a listening process around it

Needs the extra `server`.  Spec: schema/server/PROTOCOL.md.
"""
