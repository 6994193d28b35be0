"""Requirements of models, and private environments that meet them."""
