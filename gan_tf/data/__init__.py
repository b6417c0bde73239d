"""Image data: sources, decoding, cache, dataset report, batches.

Reading order: `sources` opens files and folders, `images` decodes one file to a square, `prepare` decodes a whole
source into memory or into the cache (`cache`), `dataset_report` describes it, `pipeline` makes batches. Only `pipeline`
and `class_labels` import TensorFlow.
"""
