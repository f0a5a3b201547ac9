"""TensorBoard's event files as rows: what both halves know of them (decision 0032).

    reader      bytes of a file -> events, from a file that grows
    values      what an event says -> numbers, histograms, pictures, curves
    directory   the files of one directory -> rows, each with the place in its file where it ends

Rule 1: the standard library only; neither TensorBoard nor protobuf is needed to read what they have written.
Rule 2: whatever stands in a file, nothing raises: what cannot be understood is counted and passed over.
"""
