"""The netx format of lava-dl: a straight network of integer layers in one HDF5 file."""
