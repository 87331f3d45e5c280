"""What a contour does to the dose: mean doses and DVH by the true and by the drawn contour, in a teaching plan."""

from __future__ import annotations

from collections.abc import Hashable

import ipywidgets as widgets

from pedseg.evaluation.dose import ARC, OPPOSED, PRESCRIBED_GY, DoseMap, teaching_dose
from pedseg.organs import EVALUATED, ORGANS, organ
from pedseg.viewer.case_view import CaseView
from pedseg.viewer.controls import dropdown, sentence
from pedseg.workbook import charts, figures
from pedseg.workbook.scores import as_html, dose_table

PLANS = {"two opposed fields": OPPOSED, "an arc of 12 fields": ARC}
KEPT_ORGANS = ("Kidney_L", "Kidney_R", "Liver", "SpinalCanal")  # always in the table
NOTE = (
    f"A teaching plan, not clinical: {PRESCRIBED_GY:g} Gy to the tumor bed, guessed from the organ that is missing."
    " Parallel rays, depth dose in water by a formula, no scatter."
)


class DosePanel(widgets.VBox):
    """Table and DVH for the open case; `show` is called when case, model or organ are others and the panel is seen."""

    def __init__(self) -> None:
        self.plan = dropdown(PLANS.items(), "50%", "plan")
        self.organ = dropdown([(o.plain, o.name) for o in ORGANS], "50%", "organ of the histogram")
        self.organ.value = "Kidney_R"
        self.table, self.message = widgets.HTML(), widgets.HTML()
        self.histogram = widgets.HTML()
        top = widgets.HBox([self.plan, self.organ], layout=widgets.Layout(width="100%", flex="0 0 auto"))
        super().__init__([top, self.message, self.histogram, self.table])
        self.layout = widgets.Layout(height="100%", overflow="hidden auto")
        self.add_class("pedseg-scroll")
        self.case_view: CaseView | None = None
        self.model: Hashable = None
        self._doses: dict[str, DoseMap | None] = {}
        self._planned_for: tuple[CaseView | None, Hashable] = None, None  # whose contours told the tumor bed
        for control in (self.plan, self.organ):
            control.observe(lambda _: self._draw(), "value")

    def show(self, case_view: CaseView, model: Hashable, organ_id: int = 0) -> None:
        """Show the dose of a case by its truth and by what a model drew; `organ_id` is in focus, 0 for none."""
        if (case_view, case_view.reference) != self._planned_for:
            self._doses, self._planned_for = {}, (case_view, case_view.reference)
        self.case_view, self.model = case_view, model
        if organ_id:
            self.organ.value = ORGANS[organ_id - 1].name
        self._draw()

    def _dose(self) -> DoseMap | None:
        name = self.plan.label
        view = self.case_view
        if view is not None and view.reference is not None and name not in self._doses:
            labels = view.segmentation(view.reference).labels
            self._doses[name] = teaching_dose(view.scan, labels, self.plan.value)
        return self._doses.get(name)

    def _draw(self) -> None:
        view, dose = self.case_view, self._dose()
        self.table.value = self.histogram.value = ""
        if view is None or dose is None:
            text = "No plan: a tumor bed can be guessed only where a kidney or one adrenal gland is missing."
            self.message.value = sentence(text, role="status")
            return
        self.message.value = sentence(NOTE)
        sets = [view.reference] if self.model is None else [view.reference, self.model]
        labels = {str(name): view.segmentation(name).labels for name in sets}
        chosen = organ(self.organ.value)
        chart = charts.dose_volume(dose, labels, [chosen.name])
        picture = figures.show(chart, f"Dose-volume histogram of the {chosen.plain}.")
        self.histogram.value = picture.data["text/html"]
        names = dict.fromkeys((self.organ.value, *KEPT_ORGANS, *EVALUATED))
        self.table.value = as_html(dose_table(dose, labels, names), "Dose in Gy")
