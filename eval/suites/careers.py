"""What IndoCareer's exams are called in Indonesian, by its authors (Koto 2025)."""

from __future__ import annotations

FIELDS = {
    "Advocate": "Advokat",
    "Broadcasting": "Broadcasting",
    "Certified Financial Planner": "CFP",
    "Certified Indonesian Tax Accountant": "Brevet AB",
    "Certified Professional Management Accountant": "CPMA",
    "Certified Public Accountant": "CPA",
    "Clinical Psychology": "Psikologi Klinis",
    "Culinary Art": "Tata Boga",
    "Cullinary Art": "Tata Boga",
    "Fashion Design": "Tata Busana",
    "Graphic Design": "Desain Grafis",
    "Hospitality": "Perhotelan",
    "Life Insurance": "Asuransi Jiwa",
    "Medical Doctor": "Kedokteran",
    "Midwife": "Kebidanan",
    "Nurse": "Ilmu Keperawatan",
    "Office Administration": "Administrasi Perkantoran",
    "Pharmacist": "Apoteker",
    "Police": "Kepolisian",
    "Risk Management": "Manajemen Resiko",
    "Sharia Life Insurance": "Asuransi Jiwa Syariah",
    "Teacher Competency Test": "Ujian Kompetensi Guru",
    "Tourism": "Pariwisata",
}
_VOCATIONAL = ("Broadcasting", "Culinary Art", "Cullinary Art", "Fashion Design", "Graphic Design", "Hospitality")
_COMPETENCE = ("Medical Doctor", "Nurse", "Clinical Psychology", "Midwife")
_CERTIFIED = (
    "Advocate", "Sharia Life Insurance", "Life Insurance", "Certified Financial Planner", "Certified Public Accountant",
    "Certified Professional Management Accountant", "Certified Indonesian Tax Accountant", "Risk Management",
)  # fmt: skip
EXAMS = (
    dict.fromkeys((*_VOCATIONAL, "Tourism", "Office Administration"), " untuk level SMK")
    | dict.fromkeys(_COMPETENCE, " untuk ujian kompetensi profesi")
    | dict.fromkeys(_CERTIFIED, " untuk ujian sertifikasi")
    | {"Pharmacist": " untuk ujian kompetensi"}
)
