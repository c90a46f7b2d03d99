"""Copies of images between sites: by digest, the last push of a tag wins, and no site is needed for what it gave on."""
