"""`python -m pipeline reversal`: taught one way, asked both; of every method, of both paradigms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.options import ArtifactsOption, MethodsOption, ProfileOption, SetOption, running, taking_turns, values

if TYPE_CHECKING:
    from experiments.reversal.study import Answerer
    from pipeline.profile import Profile
    from training.plan import TrainingPlan


def reversal(
    methods: MethodsOption = "lora,ar-lora",
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Pairs of each kind at the most.")] = 30,
    epochs: Annotated[float, typer.Option("--epochs", min=0.01, help="Passes over the rows that teach them.")] = 20.0,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Teach facts in one direction and ask in both.

    Trains every method on pairs of the bundled world; resumable. Needs inputs and format.
    """
    with running("reversal", profile, overrides, artifacts) as (settings, paths), taking_turns("reversal", paths):
        names = values("--methods", methods, str)
        for name in names:
            settings.method(name)
        from experiments.reversal.study import study
        from pipeline.stages.train import training_plan
        from training.trainer import train

        plans = [training_plan(settings, paths, name) for name in names]
        result = study(
            plans,
            paths.reversal,
            pairs=pairs,
            epochs=epochs,
            seed=settings.seed,
            train=train,
            answerer=lambda plan: _answerer(settings, plan),
        )
        print("\n".join((*result["sentences"], str(paths.reversal / "reversal.json"))))


def _answerer(profile: Profile, plan: TrainingPlan) -> Answerer:
    """The trained adapter behind its base's chat form, with the profile's sampler."""
    from eval.measure.evaluate import load_system
    from eval.measure.generation import generate_answers
    from llada.chat_format import encode_prompt

    network, tokenizer = load_system(plan.model, plan.base, plan.output, causal=plan.causal)

    def answer(questions: Sequence[str]) -> list[str]:
        prompts = [encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in questions]
        answers, _ = generate_answers(
            network,
            tokenizer,
            prompts,
            profile.sampling,
            batch_size=profile.evaluation.batch_size,
            seed=profile.seed,
            causal=plan.causal,
        )
        return [one.text for one in answers]

    return answer
