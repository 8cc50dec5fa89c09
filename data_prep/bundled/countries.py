"""Countries and provinces: capitals and regions that are beyond doubt, the rest from Unicode CLDR (Babel, locale
`id`).

Left out on purpose: countries with several, disputed or recently moved capitals, and currencies that changed
lately. Each row of the table is `territory code, UN M49 region code, capital in Indonesian spelling`; names of
territories, regions, currencies and languages come from CLDR, so that the unit tests can compare each sentence
with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from babel import Locale
from babel.languages import get_territory_language_info
from babel.numbers import get_territory_currencies

INDONESIAN = Locale("id")
CURRENCY_DATE = date(
    2023, 6, 1
)  # fixed: Babel's default is today, and the corpus must not depend on the day it is made

_COUNTRIES = """
AF 034 Kabul; AL 150 Tirana; DZ 015 Aljir; AD 150 Andorra la Vella; AO 017 Luanda; AR 005 Buenos Aires; AT 150 Wina;
AU 009 Canberra; BH 145 Manama; BD 034 Dhaka; BB 029 Bridgetown; BY 150 Minsk; BE 150 Brussel; BZ 013 Belmopan;
BT 034 Thimphu; BA 150 Sarajevo; BW 018 Gaborone; BR 005 Brasilia; BN 035 Bandar Seri Begawan; BG 150 Sofia;
BF 011 Ouagadougou; KH 035 Phnom Penh; CM 017 Yaounde; CA 021 Ottawa; CV 011 Praia; CF 017 Bangui; TD 017 Ndjamena;
CN 030 Beijing; CO 005 Bogota; CR 013 San Jose; HR 150 Zagreb; CU 029 Havana; CZ 150 Praha; DK 150 Kopenhagen;
DM 029 Roseau; DO 029 Santo Domingo; EC 005 Quito; EG 015 Kairo; SV 013 San Salvador; ER 014 Asmara; EE 150 Tallinn;
ET 014 Addis Ababa; FJ 009 Suva; FI 150 Helsinki; FR 150 Paris; GA 017 Libreville; GM 011 Banjul; DE 150 Berlin;
GH 011 Accra; GR 150 Athena; GD 029 Saint George's; GT 013 Kota Guatemala; GN 011 Conakry; GW 011 Bissau;
GY 005 Georgetown; HT 029 Port-au-Prince; HN 013 Tegucigalpa; HU 150 Budapest; IS 150 Reykjavik; IN 034 New Delhi;
IR 034 Teheran; IQ 145 Bagdad; IE 150 Dublin; IT 150 Roma; JM 029 Kingston; JP 030 Tokyo; JO 145 Amman; KZ 143 Astana;
KE 014 Nairobi; KW 145 Kota Kuwait; KG 143 Bishkek; LA 035 Vientiane; LV 150 Riga; LB 145 Beirut; LS 018 Maseru;
LR 011 Monrovia; LY 015 Tripoli; LI 150 Vaduz; LT 150 Vilnius; MG 014 Antananarivo; MW 014 Lilongwe;
MY 035 Kuala Lumpur; MV 034 Male; ML 011 Bamako; MT 150 Valletta; MR 011 Nouakchott; MU 014 Port Louis;
MX 013 Kota Meksiko; MD 150 Chisinau; MN 030 Ulan Bator; ME 150 Podgorica; MA 015 Rabat; MZ 014 Maputo;
NA 018 Windhoek; NP 034 Kathmandu; NL 150 Amsterdam; NZ 009 Wellington; NI 013 Managua; NE 011 Niamey; NG 011 Abuja;
KP 030 Pyongyang; MK 150 Skopje; NO 150 Oslo; OM 145 Muskat; PK 034 Islamabad; PA 013 Kota Panama;
PG 009 Port Moresby; PY 005 Asuncion; PE 005 Lima; PH 035 Manila; PL 150 Warsawa; PT 150 Lisbon; QA 145 Doha;
RO 150 Bukares; RW 014 Kigali; LC 029 Castries; WS 009 Apia; SA 145 Riyadh; SN 011 Dakar; RS 150 Beograd;
SC 014 Victoria; SL 011 Freetown; SK 150 Bratislava; SI 150 Ljubljana; SB 009 Honiara; SO 014 Mogadishu;
KR 030 Seoul; SS 014 Juba; ES 150 Madrid; SD 015 Khartoum; SR 005 Paramaribo; SE 150 Stockholm; SY 145 Damaskus;
TJ 143 Dushanbe; TZ 014 Dodoma; TH 035 Bangkok; TL 035 Dili; TG 011 Lome; TO 009 Nuku'alofa; TT 029 Port of Spain;
TN 015 Tunis; TM 143 Ashgabat; UG 014 Kampala; UA 150 Kyiv; AE 145 Abu Dhabi; GB 150 London;
US 021 Washington, D.C.; UY 005 Montevideo; UZ 143 Tashkent; VU 009 Port Vila; VE 005 Caracas; VN 035 Hanoi;
ZM 014 Lusaka; ZW 014 Harare
"""

# Countries whose official language is beyond doubt; checked against CLDR's official languages by the tests.
_LANGUAGES = """
AL sq; AO pt; AR es; AT de; BD bn; BG bg; BN ms; BR pt; CL es; CN zh; CO es; CR es; CU es; CZ cs; DE de; DK da;
DO es; DZ ar;
EC es; EE et; EG ar; ES es; FI fi; FR fr; GR el; GT es; HN es; HR hr; HU hu; IR fa; IS is; IT it; JO ar; JP ja; KH km;
KR ko; KP ko; KW ar; LA lo; LB ar; LT lt; LV lv; LY ar; MA ar; MN mn; MX es; MY ms; MZ pt; NI es; NL nl; NO nb;
NP ne; OM ar;
PA es; PL pl; PT pt; PY es; QA ar; RO ro; SA ar; SE sv; SI sl; SK sk; SN fr; SV es; SY ar; TH th; TN ar; UA uk;
UY es; UZ uz;
VE es; VN vi; AE ar; GA fr; LI de; JM en; GH en; NG en
"""

# CLDR's names are right but not the ones most Indonesians would use in a sentence.
_COMMON_LANGUAGE_NAMES = {"da": "Denmark", "fi": "Finlandia", "pl": "Polandia", "nb": "Norwegia", "zh": "Mandarin"}
_COMMON_COUNTRY_NAMES = {"BN": "Brunei Darussalam"}
_SKIPPED_CURRENCIES = {
    "ZW",
    "VE",
    "SL",
    "CU",
    "BG",
    "MR",
    "SS",
    "SY",
    "HR",
    "TL",
    "BA",
    "BT",
    "LS",
    "NA",
    "HT",
    "PA",
    "LR",
}

_PROVINCES = """
Aceh|Banda Aceh|Sumatra; Sumatera Utara|Medan|Sumatra; Sumatera Barat|Padang|Sumatra; Riau|Pekanbaru|Sumatra;
Kepulauan Riau|Tanjungpinang|-; Jambi|Jambi|Sumatra; Sumatera Selatan|Palembang|Sumatra;
Kepulauan Bangka Belitung|Pangkalpinang|-; Bengkulu|Bengkulu|Sumatra; Lampung|Bandar Lampung|Sumatra;
Banten|Serang|Jawa; Jawa Barat|Bandung|Jawa; Jawa Tengah|Semarang|Jawa; Daerah Istimewa Yogyakarta|Yogyakarta|Jawa;
Jawa Timur|Surabaya|Jawa; Bali|Denpasar|Bali; Nusa Tenggara Barat|Mataram|-; Nusa Tenggara Timur|Kupang|-;
Kalimantan Barat|Pontianak|Kalimantan; Kalimantan Tengah|Palangka Raya|Kalimantan;
Kalimantan Selatan|Banjarbaru|Kalimantan; Kalimantan Timur|Samarinda|Kalimantan;
Kalimantan Utara|Tanjung Selor|Kalimantan; Sulawesi Utara|Manado|Sulawesi; Gorontalo|Gorontalo|Sulawesi;
Sulawesi Tengah|Palu|Sulawesi; Sulawesi Barat|Mamuju|Sulawesi; Sulawesi Selatan|Makassar|Sulawesi;
Sulawesi Tenggara|Kendari|Sulawesi; Maluku|Ambon|-; Maluku Utara|Sofifi|-; Papua|Jayapura|Papua;
Papua Barat|Manokwari|Papua
"""


@dataclass(frozen=True)
class Country:
    """A country as the corpus speaks of it. `currency` is None where it is doubtful, `language` where uncertain."""

    code: str
    name: str
    region: str
    capital: str
    currency: str | None
    currency_code: str | None
    language: str | None


@dataclass(frozen=True)
class Province:
    """A province of Indonesia; `island` is None where it lies on several islands."""

    name: str
    capital: str
    island: str | None


def entries(table: str) -> list[str]:
    """The `;`-separated entries of a table, without line breaks."""
    return [entry for part in table.split(";") if (entry := " ".join(part.split()))]


@cache
def countries() -> tuple[Country, ...]:
    languages = dict(entry.split() for entry in entries(_LANGUAGES))
    return tuple(_country(*entry.split(maxsplit=2), languages) for entry in entries(_COUNTRIES))  # type: ignore[call-arg]


def _country(code: str, region_code: str, capital: str, languages: dict[str, str]) -> Country:
    tender = get_territory_currencies(code, CURRENCY_DATE, CURRENCY_DATE)
    certain = len(tender) == 1 and code not in _SKIPPED_CURRENCIES
    language = languages.get(code)
    return Country(
        code=code,
        name=_COMMON_COUNTRY_NAMES.get(code, str(INDONESIAN.territories[code])),
        region=str(INDONESIAN.territories[region_code]).replace(" Bagian ", " "),
        capital=capital,
        currency=currency_in_sentence(tender[0]) if certain else None,
        currency_code=tender[0] if certain else None,
        language="bahasa " + language_name(language) if language else None,
    )


def currency_in_sentence(code: str) -> str:
    """CLDR's name of a currency as it stands inside a sentence: the unit in lower case, the country capitalised."""
    name = str(INDONESIAN.currencies[code])
    return name[0].lower() + name[1:]


def language_name(code: str) -> str:
    return _COMMON_LANGUAGE_NAMES.get(code, str(INDONESIAN.languages[code]))


def official_language_codes(territory: str) -> set[str]:
    """CLDR's official and de facto official languages of a territory, scripts left aside."""
    found = get_territory_language_info(territory)
    return {
        code.split("_")[0]
        for code, facts in found.items()
        if facts["official_status"] in ("official", "de_facto_official")
    }


@cache
def provinces() -> tuple[Province, ...]:
    rows = (entry.split("|") for entry in entries(_PROVINCES))
    return tuple(Province(name, capital, None if island == "-" else island) for name, capital, island in rows)


@cache
def months() -> tuple[str, ...]:
    """January to December."""
    return tuple(str(INDONESIAN.months["format"]["wide"][number]) for number in range(1, 13))


@cache
def weekdays() -> tuple[str, ...]:
    """Monday to Sunday, as `datetime.date.weekday` counts."""
    return tuple(str(INDONESIAN.days["format"]["wide"][number]) for number in range(7))
