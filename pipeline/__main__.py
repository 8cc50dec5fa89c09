"""`python -m pipeline COMMAND`, see `pipeline.application`."""

from pipeline.warm.client import hand_over

if __name__ == "__main__":
    hand_over()  # first of all: who takes over has imported already

    from pipeline.application import app
    from pipeline.options import main

    main(app)
