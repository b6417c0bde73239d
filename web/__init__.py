"""The page of the web app and its Android package, as data files. Installed as `gan_tf_web`."""
