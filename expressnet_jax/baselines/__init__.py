"""The methods before deep networks: features made by hand and a shallow classifier. They import no JAX."""
