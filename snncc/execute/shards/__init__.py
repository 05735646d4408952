"""A data set run in shards, here or on a cluster, to the bit what one run over all of it gives.

A shard is a whole number of batches, those of one run over all samples; what it gives is a dict of
arrays, which a worker sends and a file keeps. The shards are merged in the order of the samples.
"""
