"""Shells complete our commands and options by what is printed for them."""

from __future__ import annotations

from click.shell_completion import ShellComplete

from oadrvtn.cli import main

from .case import CliTestCase


class CompletionTests(CliTestCase):
    def test_each_shell_gets_a_script_that_asks_us(self) -> None:
        for shell, word in (
            ("bash", "complete -o nosort -F"),
            ("zsh", "#compdef oadrvtn"),
            ("fish", "complete --no-f"),
        ):
            self.has(self.good("completion", shell), word, "_OADRVTN_COMPLETE", "oadrvtn")
        self.has(self.refused("completion", "csh", code=2), "csh")

    def test_commands_and_options_are_completed(self) -> None:
        shell = ShellComplete(main, {}, "oadrvtn", "_OADRVTN_COMPLETE")

        def completed(*words: str) -> set[str]:
            return {item.value for item in shell.get_completions(list(words[:-1]), words[-1])}

        self.assertEqual({"completion"}, completed("comp"))
        self.assertLessEqual({"watch", "create"}, completed("event", ""))
        self.assertLessEqual({"--for", "--force"}, completed("event", "create", "--fo"))
