"""Many hospitals: Flower apps, and the ways that messages travel between them."""
