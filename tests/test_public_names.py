"""The names that programs import from ``oadrvtn`` itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

import oadrvtn


class PublicNames(SynchronousTestCase):
    def test_each_public_name_is_there(self) -> None:
        """Every name of ``__all__`` can be had, and is what its home calls so."""
        for name in oadrvtn.__all__:
            self.assertEqual(getattr(oadrvtn, name).__name__, name)

    def test_another_name_is_an_attribute_error(self) -> None:
        """A name that is not public says so, as any module would."""
        error = self.assertRaises(AttributeError, lambda: oadrvtn.nothing)
        self.assertIn("nothing", str(error))
