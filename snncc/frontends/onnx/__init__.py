"""ONNX files in: networks exported with the time loop unrolled, neurons as plain arithmetic."""
