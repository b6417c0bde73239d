"""TensorFlow Datasets builders of the project, a folder each; imported as `gan_tf_datasets`."""
