"""Packs: run directories on their way across an air gap.  Spec, with reasons: schema/pack/FORMAT.md.

manifest   what a pack says of itself, and what may be believed of it; no I/O
stream     members <-> one compressed tar file, whole or in parts
memory     what was packed or unpacked last, beside the run
write      run directories -> a pack
unpack     packs -> run directories, in order, whole or not at all
upload     packs -> a server, a few runs at a time
"""
