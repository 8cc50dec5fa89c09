"""The spine: one command per stage, the profile, and where artefacts lie."""
