"""Test cases of Django's, run within a test."""

from __future__ import annotations

import unittest


def run_class(case: type) -> None:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    for _, message in (*result.errors, *result.failures):
        raise AssertionError(message)
    assert result.testsRun >= 1
