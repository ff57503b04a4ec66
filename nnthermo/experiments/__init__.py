"""Numerical experiments of the papers, each from settings to a report.

A study is a package, and the function of its name: `study` says what is in it, and what it does. Studies know nothing
of each other. They share what is trained (`samples`, `networks`), how it is run and kept (`settings`, `processes`,
`folder`, `histories`), what is said of it (`claims`, `verdicts`), and how that is shown (`drawing`, `page`,
`study_page`). The audit trains nothing: its entries are equations.
"""
