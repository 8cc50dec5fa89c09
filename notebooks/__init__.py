"""A notebook for Colab and Kaggle, and what its cells call."""
