"""Image data: sources, decoding, cache, dataset report, batches. Start with `prepare.py`.

Only `pipeline` and `class_labels` import TensorFlow.
"""
