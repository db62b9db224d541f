"""Images, videos, bags, messages, parameter files and other files, as arrays and dataclasses."""
