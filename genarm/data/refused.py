"""Why a row is no preference pair."""


class Refused(Exception):
    """A row that is not a preference pair, and why.

    Its reason is one of a few stable sentences; neither reason nor detail quotes the texts of the row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
