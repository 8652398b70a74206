"""What a shell needs to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
      oadrvtn completion bash > ~/.local/share/bash-completion/completions/oadrvtn
      oadrvtn completion zsh > ~/.zfunc/_oadrvtn
      oadrvtn completion fish > ~/.config/fish/completions/oadrvtn.fish
    """
    found = get_completion_class(shell)
    assert found, "click knows these shells"
    click.echo(found(context.find_root().command, {}, "oadrvtn", "_OADRVTN_COMPLETE").source())
