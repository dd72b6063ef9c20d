"""The tiers of the tests, by file, and what was skipped because a package is not installed."""

import re
from collections import Counter

# Seconds of one core that a file takes decide: what is not named here is fast, and all of that takes a minute or two.
PROCESS = {
    *("cli", "cluster", "compile_cache", "cpu", "launch", "loop", "machine", "main", "page"),
    *("predict_command", "predict_inputs", "prepare", "privacy", "process", "run_folder", "store"),
    *("video_commands", "web_server"),
}
BROWSER = {"page_in_chromium"}
SLOW = {
    "ablation",
    "accelerators",
    "adaptation_job",
    "adaptation_losses",
    "adaptation_task",
    "api",
    "attention",
    "attention_losses",
    "audio",
    "baselines",
    "bench",
    "blocks",
    "centers",
    "compile_run",
    "configs",
    "contributing",
    "convolution",
    "csam_vgg",
    "dann",
    "data_identity",
    "ddamfn",
    "depthwise",
    "export",
    "few_kernels",
    "finetune",
    "folds",
    "freezing",
    "ghost",
    "ghost_resnet",
    "golden",
    "heads",
    "high_order",
    "hub",
    "identity",
    "load_checkpoint",
    "micro_expressions",
    "models",
    "multitask",
    "networks",
    "notebook",
    "parity",
    "poster",
    "published",
    "points",
    "report_command",
    "report_gradients",
    "setup",
    "sound_predictor",
    "step",
    "sweeps",
    "temporal",
    "text_networks",
    "transfer",
    "vgg",
    "video_networks",
    "zoo",
}
ORDER = ("slow", "process", "browser", "fast")  # the tiers by how long their files take
ALIASES = {"PyTorch": "torch", "Apache Beam": "beam", "apache_beam": "beam"}
MISSING = re.compile(
    r"could not import '(\w+)|^(?:Skipped: )?(?:(.+?) is not installed|no (\w+)(?: on this machine|:))"
)


def tier_of(stem: str) -> str:
    """Return the marker of a file test_NAME.py, given its stem."""
    name = stem.removeprefix("test_")
    tables = {"process": PROCESS, "browser": BROWSER, "slow": SLOW}
    return next((tier for tier, names in tables.items() if name in names), "fast")


def skipped_line(reasons: list[str]) -> str:
    """Return how many tests were skipped because of which missing package or program; empty where there were none."""
    missing = Counter()
    for match in filter(None, map(MISSING.search, reasons)):
        name = next(filter(None, match.groups()))
        missing[ALIASES.get(name, name)] += 1
    found = ", ".join(f"{name} {count}" for name, count in missing.most_common())
    return f"skipped for want of {found}" if found else ""
