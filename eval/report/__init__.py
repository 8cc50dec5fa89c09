"""Stage `report`: everything that was evaluated, compared on one page."""
