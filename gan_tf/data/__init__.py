"""From the user's pictures to endless batches: sources, decoding, report, cache, pipeline.

Read in this order: `sources` opens what the user names, `images` turns one file into one square picture, `doctor` says
what was found, `prepare` runs all files through that once, in memory or into `cache`, `pipeline` makes batches.
Only `pipeline` imports TensorFlow.
"""
