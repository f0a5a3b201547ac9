"""The numbers of the log's format.  Spec, with reasons: schema/log/FORMAT.md.

    log    := FILE_HEADER block*        blocks are counted from offset 0: the header lies in the first one
    block  := chunk* trailer?           BLOCK_BYTES long, the last one may be shorter
    chunk  := checksum u32 | length u16 | kind u8 | data      little endian; CRC-32 of kind and data
    record := FULL | FIRST MIDDLE* LAST

Rule: a number of the format is written here and nowhere else.
"""

from __future__ import annotations

from struct import Struct

FILE_HEADER = b":W&B\xe1\xbe\x00"
"""Four letters, a magic number (0xBEE1, little endian) and the version, which is 0."""

BLOCK_BYTES = 32768
"""A chunk never crosses the border of a block: after damage, reading goes on at the next border."""

CHUNK_HEADER = Struct("<IHB")
"""checksum, length of the data in bytes, kind."""

CHUNK_HEADER_BYTES = CHUNK_HEADER.size  # 4 + 2 + 1

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""What we write and read at most: the bound of a reader's memory.  The largest records seen: some 10 MB."""

# Kinds of chunks.  Zero is not one, so that a hole in a file (zeros) never looks like a chunk.
FULL = 1  # a whole record
FIRST = 2  # the first piece of one that goes on in the next block
MIDDLE = 3
LAST = 4

LOG_SUFFIX = ".wandb"
SIDE_MARK = ".side-"  # between the name of a run's log and the id of a side log

# The compressed form of a log that is closed: see "The compressed form" in the spec.
COMPRESSED_SUFFIX = ".zst"
FRAME_BYTES = 16 * BLOCK_BYTES
"""How much of the log a zstd frame holds; the last one may hold less."""
