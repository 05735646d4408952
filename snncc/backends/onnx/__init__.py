"""ONNX out: the integer step graph as a standard ONNX model, exact in onnxruntime.

``model.write_onnx`` makes the model of a graph, ``model.bytes_of`` its file.
"""
