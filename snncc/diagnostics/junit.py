"""Findings as JUnit XML: one test case for each layer that was judged.

A layer that reads spikes has passed, one with a finding has failed, and one whose finding is
allowed was skipped, with the reason. Findings about no layer are test cases of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from snncc.diagnostics.core import Diagnostic
from snncc.diagnostics.render import Findings, Layer, printable, text_of


def as_junit(findings: Findings) -> str:
    """Return one ``testsuites`` document; an XML writer quotes, and nothing unprintable is left."""
    suites = Element("testsuites", name="snncc check")
    suite = SubElement(suites, "testsuite", name=printable(findings.model))
    _properties(suite, findings)
    waiting: dict[tuple[str, str], deque[Diagnostic]] = defaultdict(deque)
    for each in findings.everything:
        waiting[each.source.module, each.op].append(each)
    calls: Counter[tuple[str, str]] = Counter()
    for layer in findings.layers:
        calls[layer.name, layer.op] += 1
        found = waiting[layer.path, layer.op]
        fault = found.popleft() if found and not layer.is_spike_driven else None
        _layer(suite, findings, layer, fault, calls[layer.name, layer.op])
    for each in (d for found in waiting.values() for d in found):
        _judge(
            _case(suite, findings, each.source.module or "model", each.rule.name), findings, each
        )
    for element in (suites, suite):
        element.set("tests", str(len(suite.findall("testcase"))))
        element.set("failures", str(len(suite.findall("testcase/failure"))))
        element.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    indent(suites)
    text = tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _properties(suite: Element, findings: Findings) -> None:
    """Say which form of the model was judged."""
    properties = SubElement(suite, "properties")
    for key in ("form", "time_steps"):
        if key in findings.facts:
            SubElement(properties, "property", name=key, value=printable(str(findings.facts[key])))


def _layer(
    suite: Element, findings: Findings, layer: Layer, fault: Diagnostic | None, call: int
) -> None:
    """Add the case of a layer; the second product of a module has a number in its name."""
    name = layer.name if call == 1 else f"{layer.name} ({call})"
    case = _case(suite, findings, name, layer.op)
    properties = SubElement(case, "properties")
    SubElement(properties, "property", name="reads", value=printable(layer.reads))
    if fault:
        _judge(case, findings, fault)


def _case(suite: Element, findings: Findings, name: str, kind: str) -> Element:
    classname = printable(f"{findings.model}.{kind}")
    return SubElement(suite, "testcase", name=printable(name), classname=classname, time="0")


def _judge(case: Element, findings: Findings, fault: Diagnostic) -> None:
    if fault.source.file:
        case.set("file", printable(fault.source.file))
        case.set("line", str(fault.source.line))
    message = printable(fault.message)
    if findings.fails(fault):
        kind = f"{fault.rule.code} {fault.rule.name}"
        SubElement(case, "failure", message=message, type=kind).text = text_of(fault)
        return
    why = printable(fault.allowed_by or f"{fault.severity}: {fault.message}")
    SubElement(case, "skipped", message=why)
    SubElement(case, "system-out").text = text_of(fault)
