"""Bodies of requests: examples of the OpenAPI schema, with which the forms of browsable pages begin."""

from drf_spectacular.utils import OpenApiExample


def _body(title: str, /, **value: object) -> OpenApiExample:
    return OpenApiExample(title, value=value, request_only=True)


TWO_STOCKS = _body(
    "Two stocks, one year",
    start_date="2024-01-01",
    end_date="2024-12-31",
    stock_codes=["600519", "000001"],
)
FIRST_POSITION = _body("To the front", position=1)
A_PLAN = _body("Every trading day", name="nightly", market="CN", source="akshare", at="18:00", days=30)
SWITCH_OFF = _body("Switch off", enabled=False)
AN_EXPORT = _body("Unadjusted bars of a market", folder="cn-daily", market="CN", adjust="")
CLOSES_OF_TWO = _body(
    "Closes of two stocks",
    market="CN",
    codes=["600519", "000001"],
    start="2024-01-01",
    end="2024-12-31",
    columns=["close", "volume"],
)
