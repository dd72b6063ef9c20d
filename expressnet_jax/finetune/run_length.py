"""How long a fine-tuning takes: apart from the recipe, since --help needs no JAX."""

EPOCHS, FEWEST_STEPS, MOST_STEPS = 20, 150, 3000
