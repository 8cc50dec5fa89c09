"""Pantun (subset `indo_puisi`): quatrains with the rhyme a-b-a-b, composed for this project.

The first two lines (sampiran) paint a picture, the last two (isi) carry the message. Couplets are kept by the
rhyme of their two lines, so that any sampiran joins any isi of the same rhyme. Two lines rhyme when they end in
the same last vowel and what follows it, the measure that the unit tests apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from data_prep.bundled.content import Content, Pair

_SAMPIRAN = """
Pergi ke pasar membeli ikan / Singgah sebentar membeli roti
Burung dara di atas dahan / Terbang tinggi di pagi hari
Menanam bunga di tepi jalan / Disiram air setiap hari
Naik perahu ke tengah lautan / Angin bertiup sejuk sekali
Bulan purnama di atas awan / Anak kecil menari-nari
Petani senang di musim hujan / Sawah yang luas ditanami padi
Pohon jati tumbuh di hutan / Batang kayunya kuat sekali
Jalan-jalan ke kota Medan / Membeli kain dan juga peniti
Jalan-jalan ke kota Padang / Jangan lupa membeli kelapa
Anak ayam lari ke kandang / Induknya datang dari utara
Ambil galah di dekat tiang / Buah jambu jatuh semua
Pak Tani pergi ke ladang / Membawa cangkul di pundaknya
Layang-layang tinggi melayang / Talinya putus entah ke mana
Kain batik dijemur siang / Warnanya indah dipandang mata
Ikan kecil di sungai tenang / Berenang-renang ke hilir muara
Pagi cerah langit pun terang / Burung berkicau riang gembira
Buah nangka buah rambutan / Dibawa Paman dari Jakarta
Duduk bersama di tepi taman / Sambil menikmati es kelapa
Kapal berlayar dari pelabuhan / Membawa cengkih dan juga lada
Anak itik di tepi selokan / Mencari makan bersama saudara
Pergi berlibur ke Kalimantan / Singgah dahulu di Samarinda
Kucing belang duduk di papan / Melihat cecak di atas jendela
Membeli kue untuk hidangan / Disajikan rapi di atas meja
Pohon cemara di pinggir jalan / Tempat berteduh siapa saja
Pagi-pagi meminum jamu / Jamu diminum di dekat taman
Naik kereta ke rumah tamu / Membawa oleh-oleh dari Kuningan
Di tepi jalan penjual tebu / Duduk berteduh menunggu hujan
Anak rusa di atas batu / Melompat tinggi ke dalam hutan
Burung nuri berbulu ungu / Hinggap sebentar di atas dahan
Menjahit baju di hari Sabtu / Kainnya dibeli di Pekalongan
Pergi ke sekolah di hari Rabu / Berjalan kaki bersama teman
Pohon pisang di tepi kali / Daunnya lebar untuk bungkusan
Beli pepaya beli kuini / Taruh di piring untuk makanan
Anak gembala bernyanyi-nyanyi / Kambingnya makan di tepi jalan
Kupu-kupu hinggap di melati / Sayapnya indah kemerah-merahan
Ke toko kain membeli peniti / Uangnya tinggal lima ribuan
Hujan turun di sore hari / Membasahi jalan dan pekarangan
Nenek memasak di pagi hari / Sayur lodeh sedap dimakan
Pergi ke Bogor naik kereta / Membeli talas dan juga ubi
Bunga mawar merah warnanya / Tumbuh subur di kebun kami
Anak kancil di tepi telaga / Minum air jernih sekali
Makan rujak dengan pepaya / Rasanya segar pedas sekali
Kapal layar di Laut Jawa / Membawa beras dan biji kopi
Ikan sepat di dalam rawa / Ditangkap orang di pagi hari
Malam terang penuh cahaya / Bintang berkelip indah sekali
"""

_ISI = """
rajin belajar: Jika ingin meraih impian / Rajin belajar setiap hari
menjaga kebersihan: Mari bersama jaga kebersihan / Agar hidup sehat berseri
persahabatan: Kawan sejati dalam kesusahan / Selalu hadir menemani
kejujuran: Orang jujur jadi panutan / Dipercaya di seluruh negeri
kesabaran: Sabar itu kunci keberhasilan / Jangan mudah berkecil hati
hidup hemat: Uang saku jangan dihabiskan / Sisihkan sedikit untuk nanti
gotong royong: Berat ringan sama dikerjakan / Gotong royong penguat negeri
budaya bangsa: Kita bangga pada kebudayaan / Warisan indah milik negeri
kasih sayang orang tua: Ayah dan Ibu selalu sayang / Hormati mereka sepanjang masa
ilmu: Ilmu itu pelita yang terang / Bekal hidup sepanjang usia
menghargai waktu: Waktu yang lewat takkan terulang / Jangan dibuang begitu saja
jangan berutang: Jangan suka banyak berutang / Hidup sederhana hati pun lega
kerja keras: Tekun bekerja pagi dan petang / Hasilnya nanti terasa juga
menyambut tamu: Tamu disambut dengan riang / Suguhkan minum seadanya
berbagi: Berbagi rezeki kepada orang / Membuat hati ikut bahagia
keselamatan di jalan: Lihat kanan kiri sebelum menyeberang / Agar selamat sampai di sana
menjaga hutan: Mari merawat semua hutan / Agar alam tetap terjaga
membuang sampah: Buang sampah jangan sembarangan / Bersih lingkungan sehat semua
harapan: Sebelum tidur panjatkan harapan / Semoga esok lebih bahagia
toleransi: Beda agama tetap berteman / Rukun damai hidup bersama
membaca buku: Buku itu jendela pengetahuan / Bacalah selalu di mana saja
olahraga: Olahraga menyehatkan badan / Lakukan rutin bersama keluarga
sopan santun: Tutur kata penuh kesopanan / Disenangi orang di mana jua
keluarga rukun: Keluarga rukun penuh kehangatan / Saling menolong dengan cinta
guru: Hormatilah selalu para guru / Ilmunya kita jadikan pedoman
rindu kampung: Di kota orang hatiku rindu / Teringat selalu kampung halaman
ibu: Kasih sayang seorang ibu / Tak akan habis sepanjang zaman
tahun baru: Mari menyambut tahun yang baru / Dengan semangat dan penuh harapan
persatuan: Walau berbeda kita bersatu / Saling menghormati dalam pergaulan
disiplin: Datanglah selalu tepat waktu / Itulah tanda kedisiplinan
menuntut ilmu: Janganlah malas menuntut ilmu / Ilmu berguna di masa depan
rendah hati: Jadilah orang yang rendah hati / Disukai kawan dan handai tolan
menjaga ucapan: Kalau berbicara berhati-hati / Jangan menyakiti perasaan teman
menepati janji: Kalau berjanji harus ditepati / Supaya tidak kehilangan kepercayaan
berani mencoba: Jangan takut mencoba lagi / Gagal itu awal keberhasilan
bangun pagi: Biasakan selalu bangun pagi / Tubuh segar tugas terselesaikan
bersyukur: Syukuri nikmat setiap hari / Hidup terasa penuh keindahan
tolong-menolong: Menolong sesama setulus hati / Tanpa mengharap suatu imbalan
cita-cita: Gantungkan tinggi semua cita-cita / Raih dengan usaha sepenuh hati
musyawarah: Masalah berat dipikul bersama / Musyawarah membawa damai di hati
nasihat orang tua: Dengarkan nasihat orang tua / Agar hidupmu tenang nanti
makanan sehat: Sayur dan buah banyak gunanya / Makanlah cukup setiap hari
pahlawan: Pahlawan gugur membela negara / Jasanya tetap kita hargai
menabung: Menabung sejak usia muda / Berguna untuk hari nanti
saling memaafkan: Maafkan kesalahan sesama / Jangan simpan dendam di hati
"""

TITLED_PROMPTS = (
    ("Buatkan pantun tentang {}.", "{}"),
    ("Saya perlu pantun bertema {}.", "Ini pantunnya:\n{}"),
    ("Tolong tulis pantun dengan tema {}.", "{}"),
    ("Bisa karang pantun mengenai {}?", "Bisa. Silakan dibaca:\n{}"),
    ("Karanglah empat baris pantun tentang {}.", "{}"),
    ("Adakah pantun yang berisi pesan {}?", "Ada, misalnya:\n{}"),
    ("Ayo berpantun tentang {}!", "{}"),
    ("Untuk acara sekolah, saya mencari pantun {}.", "Semoga cocok:\n{}"),
    ("Berikan contoh pantun nasihat tentang {}.", "Contohnya:\n{}"),
    ("Sampaikan pesan tentang {} lewat sebuah pantun.", "{}"),
)
CONSTANT_PROMPTS = (
    ("Buatkan sebuah pantun, temanya bebas.", "{}"),
    ("Hibur saya dengan pantun.", "Dengarkan pantun ini:\n{}"),
    ("Saya ingin membaca pantun nasihat.", "{}"),
    ("Tuliskan satu pantun untuk saya.", "Ini pantun untukmu:\n{}"),
)


@dataclass(frozen=True)
class Pantun:
    theme: str
    lines: tuple[str, str, str, str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def rhyme(line: str) -> str:
    """The last vowel of a line and what follows it: `hari` i, `dahan` an, `siang` ang."""
    found = re.search(r"[aeiou][^aeiou]*$", line.lower().rstrip(".,!?"))
    if found is None:
        raise ValueError(f"no vowel in the line {line!r}")
    return found.group()


@cache
def pantuns() -> tuple[Pantun, ...]:
    """Every sampiran with every isi of the same rhyme."""
    openings = [tuple(line.split(" / ")) for line in _SAMPIRAN.strip().splitlines()]
    made = []
    for entry in _ISI.strip().splitlines():
        theme, couplet = entry.split(": ")
        third, fourth = couplet.split(" / ")
        for first, second in openings:
            if (rhyme(first), rhyme(second)) == (rhyme(third), rhyme(fourth)):
                made.append(Pantun(theme, (first, second, third, fourth)))
    return tuple(made)


def contents() -> Iterator[Content]:
    for poem in pantuns():
        pairs = [
            Pair(f"indo_puisi_template_{number}", prompt.format(poem.theme), answer.format(poem.text))
            for number, (prompt, answer) in enumerate(TITLED_PROMPTS)
        ]
        pairs += [
            Pair(f"indopuisi_{number}", prompt, answer.format(poem.text))
            for number, (prompt, answer) in enumerate(CONSTANT_PROMPTS, start=1)
        ]
        yield Content("indo_puisi", poem.text, tuple(pairs))
