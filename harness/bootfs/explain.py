"""A firmware plan for people and for programs: what is loaded, and the lines that decided it."""

import attrs

from harness.bootfs.firmware import FirmwarePlan


def describe(plan: FirmwarePlan) -> dict[str, object]:
    """Return *plan* as plain lists, strings and numbers, ready for JSON; keys are the names of its fields."""
    values: dict[str, object] = _plain(attrs.asdict(plan))  # type: ignore[assignment]
    return values


def explain(plan: FirmwarePlan) -> str:
    """Return *plan* as text: the outcome, a line for each thing settled with what settled it, then the remarks."""
    verdict = "boots" if plan.bootable else "does not boot"
    lines = [f"{plan.board} {verdict}{f': {plan.reason}' if plan.reason else ''}", *_settled(plan)]
    lines += [f"  overlay   {_overlay(name, path, params)}" for name, path, params in _overlays(plan)]
    if plan.dtparams:
        lines.append(f"  dtparam   {','.join(f'{name}={value}' for name, value in plan.dtparams)}")
    lines.append(f"  parameters  {plan.cmdline or '(none)'}")
    if plan.remarks:
        lines += ["remarks:", *(f"  {remark}" for remark in plan.remarks)]
    return "\n".join(lines)


def _settled(plan: FirmwarePlan) -> list[str]:
    """Return one line for each decision: what, value, the line that decided; missing files say so."""
    missing = {"kernel": plan.kernel is None, "dtb": plan.dtb is None}
    rows = [("firmware", plan.start_elf or "(missing)", "")]
    for decision in plan.decided:
        value = decision.value or "(none)"
        rows.append((decision.what, value + " (missing)" * missing.get(decision.what, False), str(decision)))
    wide = max(len(what) for what, _, _ in rows)
    long = max(len(value) for _, value, _ in rows)
    return [f"  {what:{wide}}  {value:{long}}  {f'<- {why}' if why else ''}".rstrip() for what, value, why in rows]


def _overlays(plan: FirmwarePlan) -> list[tuple[str, str | None, str]]:
    return [
        (overlay.name, overlay.path, ",".join(f"{name}={value}" for name, value in overlay.params))
        for overlay in plan.overlays
    ]


def _overlay(name: str, path: str | None, params: str) -> str:
    return f"{path or f'{name} (missing)'}{f' with {params}' if params else ''}"


def _plain(value: object) -> object:
    """Return *value* with tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
