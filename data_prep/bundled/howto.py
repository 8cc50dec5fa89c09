"""How-to answers (subset `wikihow`): everyday tasks in three to five steps, by family of tasks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from data_prep.bundled import nature
from data_prep.bundled.content import Content, Pair, capitalised, generator
from data_prep.bundled.countries import entries

PROMPTS = (
    "Bagaimana cara {}?",
    "Tolong ajari saya {}.",
    "Apa saja langkah untuk {}?",
    "Saya mau {}. Mulai dari mana?",
)

# Each family: the task with its object, then the steps; alternatives of a step are separated by `/`.
_FAMILIES = {
    "membuat jus {}": (
        "cuci {0} sampai bersih / kupas {0} lalu buang bijinya",
        "potong {0} kecil-kecil / iris {0} tipis-tipis",
        "masukkan {0} ke dalam blender bersama air / blender {0} dengan air dan es batu",
        "tambahkan gula secukupnya / beri sedikit gula atau madu",
        "tuang jus {0} ke dalam gelas / sajikan jus {0} selagi dingin",
    ),
    "menggoreng {}": (
        "siapkan {0} dan bumbunya / potong {0} sesuai selera",
        "panaskan minyak di wajan / tuang minyak goreng lalu panaskan",
        "masukkan {0} ketika minyak sudah panas / goreng {0} dengan api sedang",
        "balik {0} agar matang merata / tunggu sampai {0} berwarna kecokelatan",
        "angkat {0} lalu tiriskan / tiriskan {0} sebelum dihidangkan",
    ),
    "merebus {}": (
        "cuci {0} dengan air mengalir / bersihkan {0} lebih dahulu",
        "didihkan air di dalam panci / isi panci dengan air lalu panaskan",
        "masukkan {0} ke dalam air mendidih / rebus {0} dengan sedikit garam",
        "tunggu sampai {0} empuk / angkat {0} setelah matang",
    ),
    "menanam {}": (
        "siapkan bibit {0} yang sehat / pilih bibit {0} yang bagus",
        "gemburkan tanah lalu campur dengan pupuk / isi pot dengan tanah yang subur",
        "tanam bibit {0} di lubang yang cukup dalam / masukkan bibit {0} ke dalam tanah",
        "siram {0} pada pagi dan sore hari / sirami {0} secara teratur",
        "cabut rumput liar di sekitar {0} / letakkan {0} di tempat yang terkena sinar matahari",
    ),
    "membersihkan {}": (
        "siapkan kain dan air sabun / sediakan lap, sabun, dan air bersih",
        "singkirkan debu dari {0} / bersihkan debu yang menempel pada {0}",
        "gosok {0} dengan kain lembap / usap seluruh bagian {0} sampai noda hilang",
        "keringkan {0} dengan kain bersih / lap {0} sampai kering",
    ),
    "merawat {}": (
        "sediakan tempat yang bersih untuk {0} / buat kandang yang nyaman bagi {0}",
        "beri makan {0} secara teratur / sediakan makanan dan air minum untuk {0}",
        "bersihkan tempat {0} setiap hari / jaga kebersihan kandang {0}",
        "periksakan {0} ke dokter hewan jika sakit / perhatikan kesehatan {0} setiap hari",
    ),
    "belajar {}": (
        "tentukan waktu belajar {0} setiap hari / buat jadwal untuk belajar {0}",
        "mulailah dari bagian {0} yang paling mudah / pelajari dasar {0} lebih dahulu",
        "berlatihlah sedikit demi sedikit / ulangi latihan sampai terbiasa",
        "mintalah bantuan guru atau teman / tanyakan bagian yang belum dipahami",
    ),
    "menyimpan {}": (
        "pastikan {0} bersih dan kering / pilih {0} yang masih baik",
        "masukkan {0} ke dalam wadah tertutup / taruh {0} di wadah yang rapat",
        "letakkan {0} di tempat yang sejuk / jauhkan {0} dari sinar matahari langsung",
        "periksa {0} secara berkala / buang {0} yang sudah rusak",
    ),
    "menulis {}": (
        "tentukan tema {0} yang akan ditulis / pikirkan isi {0} lebih dahulu",
        "buat kerangka {0} secara singkat / catat pokok pikiran untuk {0}",
        "tulis {0} dengan kalimat yang jelas / kembangkan kerangka menjadi {0} yang utuh",
        "baca kembali {0} lalu perbaiki kesalahannya / periksa ejaan sebelum {0} selesai",
    ),
    "pergi naik {}": (
        "beli tiket {0} lebih awal / pesan tiket {0} sehari sebelumnya",
        "datang sebelum {0} berangkat / berangkatlah lebih awal agar tidak ketinggalan {0}",
        "tunjukkan tiket kepada petugas / siapkan tiket dan kartu identitas",
        "duduk sesuai nomor kursi / jaga barang bawaan selama di {0}",
    ),
    "memilih {}": (
        "perhatikan warna {0} / lihat dahulu bentuk dan warna {0}",
        "pegang {0} untuk memeriksa bagian luarnya / pastikan {0} tidak memar atau rusak",
        "cium aroma {0} / pilih {0} yang baunya segar",
        "bandingkan harga {0} sebelum membeli / ambil {0} yang paling baik lalu bayar",
    ),
}
_OBJECTS = """
menggoreng {}=tempe, tahu, telur, ikan lele, pisang, ayam, kentang, singkong, kerupuk, udang, bakwan, ubi jalar;
merebus {}=telur, jagung, singkong, ubi jalar, kacang tanah, kentang, bayam, wortel, brokoli, daun singkong, labu;
menanam {}=cabai, tomat, bayam, kangkung, terung, mawar, melati, pepaya, jagung, singkong, kacang panjang,
seledri, jahe, kembang sepatu, mangga;
membersihkan {}=kaca jendela, meja kayu, sepatu, kulkas, kipas angin, kompor, tas sekolah, helm, sepeda, cermin,
rak buku, pintu, kursi, lemari, akuarium;
merawat {}=kucing, anjing, ayam, kelinci, kambing, burung merpati, sapi, domba, kura-kura, bebek, hamster, kuda;
belajar {}=matematika, bahasa Inggris, menari, berenang, bersepeda, bermain gitar, memasak, menggambar,
menyanyi, membaca peta, bermain catur, menjahit, bahasa Jawa, fotografi, pencak silat, bermain piano, mengetik,
sejarah, melukis, bermain angklung;
menyimpan {}=beras, gula, telur, bawang merah, kopi bubuk, tepung, kacang tanah, teh, garam, roti, cabai kering,
biji kopi, kerupuk, kentang;
menulis {}=surat, puisi, cerita pendek, pidato, laporan kegiatan, buku harian, resensi buku, surat lamaran
kerja, pengumuman, naskah drama, artikel, undangan rapat;
pergi naik {}=kereta api, pesawat, kapal laut, bus antarkota, bus malam, feri, kereta bandara;
memilih {}=semangka, mangga, durian, jeruk, melon, nanas, tomat, alpukat, pepaya, apel, terung, wortel, cabai, salak
"""

# Tasks of their own: task=step; steps separated by `|`
_TASKS = """
membuat teh manis=didihkan air|masukkan teh celup ke dalam cangkir|tuang air panas|tambahkan gula lalu aduk;
membuat kopi tubruk=didihkan air|masukkan kopi bubuk dan gula ke dalam gelas|tuang air panas|aduk lalu tunggu
ampasnya turun;
memasak nasi goreng=tumis bawang merah dan bawang putih|masukkan telur lalu aduk|masukkan nasi dan kecap
manis|aduk rata sampai matang;
memasak nasi=cuci beras dua kali|masukkan beras dan air ke dalam penanak nasi|nyalakan penanak nasi|tunggu
sampai nasi matang;
membuat telur dadar=kocok telur dengan garam|panaskan sedikit minyak|tuang telur ke wajan|balik lalu angkat
setelah matang;
membuat sambal=cuci cabai dan tomat|goreng sebentar cabai dan tomat|ulek dengan garam dan terasi|beri sedikit
air jeruk limau;
membuat layang-layang=raut bambu menjadi dua bilah|ikat kedua bilah hingga bersilang|tempelkan kertas pada
rangka|pasang benang;
mencuci tangan=basahi tangan dengan air mengalir|gosok tangan dengan sabun selama dua puluh detik|bilas sampai
bersih|keringkan dengan handuk;
menggosok gigi=taruh pasta gigi pada sikat|sikat gigi dengan gerakan lembut|bersihkan juga lidah|kumur dengan
air bersih;
mencuci baju=pisahkan baju putih dan baju berwarna|rendam baju dengan deterjen|kucek lalu bilas|jemur di tempat
yang terkena sinar matahari;
mencuci piring=buang sisa makanan|gosok piring dengan sabun|bilas dengan air mengalir|taruh piring di rak agar kering;
menyetrika baju=panaskan setrika|bentangkan baju di atas meja setrika|gerakkan setrika perlahan|gantung baju
yang sudah rapi;
menyapu halaman=ambil sapu lidi|kumpulkan daun kering di satu tempat|masukkan sampah ke dalam kantong|buang
kantong itu ke tempat sampah;
mengepel lantai=sapu lantai lebih dahulu|campur air dengan cairan pembersih|peras kain pel|pel lantai dari sudut
ke arah pintu;
menyeberang jalan=berhenti di tepi jalan|lihat ke kanan dan ke kiri|tunggu sampai jalan aman|menyeberanglah di
zebra cross;
meminjam buku di perpustakaan=cari buku di rak|bawa buku ke petugas|tunjukkan kartu anggota|kembalikan buku
tepat waktu;
mengirim surat=tulis surat lalu masukkan ke amplop|tulis alamat penerima|tempelkan prangko|serahkan surat ke
kantor pos;
menabung di bank=datang ke bank dengan kartu identitas|isi formulir pembukaan rekening|serahkan setoran
awal|simpan buku tabungan di tempat aman;
mengganti ban sepeda=lepas roda dari sepeda|congkel ban dari peleknya|pasang ban yang baru|pompa ban lalu pasang
rodanya;
mengganti lampu=matikan aliran listrik|tunggu sampai lampu dingin|putar lampu lama sampai lepas|pasang lampu baru;
melipat selimut=bentangkan selimut di atas kasur|lipat menjadi dua bagian|lipat sekali lagi|simpan di dalam lemari;
merapikan tempat tidur=singkirkan barang dari kasur|tarik seprai sampai rata|lipat selimut|susun bantal dan guling;
mengobati luka kecil=cuci luka dengan air bersih|keringkan dengan kain bersih|oleskan obat luka|tutup dengan plester;
menurunkan demam ringan=beristirahatlah yang cukup|minum banyak air|kompres dahi dengan kain hangat|pergilah ke
dokter jika demam tidak turun;
menghemat listrik=matikan lampu yang tidak dipakai|cabut pengisi daya setelah digunakan|buka jendela pada siang
hari|gunakan lampu hemat energi;
menghemat air=tutup keran dengan rapat|gunakan air secukupnya|perbaiki keran yang bocor|tampung air hujan untuk
menyiram tanaman;
memilah sampah=sediakan dua tempat sampah|masukkan sisa makanan ke tempat sampah organik|masukkan plastik dan
kaleng ke tempat sampah lain|tutup tempat sampah;
membuat kompos=kumpulkan daun kering dan sisa sayuran|campur dengan tanah|siram sedikit agar lembap|aduk setiap
minggu sampai menjadi kompos;
membungkus kado=ukur kertas kado|letakkan kotak di tengah kertas|lipat kertas lalu rekatkan|hias dengan pita;
berkenalan dengan orang baru=tersenyumlah dengan ramah|sebutkan namamu|tanyakan namanya|dengarkan ceritanya
dengan sopan
"""


def contents(seed: int) -> Iterator[Content]:
    for task, alternatives in tasks():
        answer = answer_for(task, alternatives, generator(seed, "howto", task))
        pairs = tuple(Pair(f"wikihow_{number}", text.format(task), answer) for number, text in enumerate(PROMPTS))
        yield Content("wikihow", task, pairs)


@cache
def tasks() -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """(task, steps), each step with its alternative wordings."""
    objects = {family: things.split(", ") for family, things in (entry.split("=") for entry in entries(_OBJECTS))}
    objects["membuat jus {}"] = [
        fruit.name for fruit in nature.fruits() if fruit.name not in ("durian", "salak", "duku", "manggis")
    ]
    made = []
    for family, steps in _FAMILIES.items():
        for thing in objects[family]:
            made.append((family.format(thing), tuple(tuple(step.format(thing).split(" / ")) for step in steps)))
    for entry in entries(_TASKS):
        task, steps = entry.split("=")
        made.append((task, tuple((step,) for step in steps.split("|"))))
    return tuple(made)


def answer_for(task: str, alternatives: tuple[tuple[str, ...], ...], chance: random.Random) -> str:
    """The steps as a numbered list or as running text, one wording of each."""
    steps = [chance.choice(wordings) for wordings in alternatives]
    if chance.random() < 0.5:
        return "\n".join(f"{number}. {capitalised(step)}." for number, step in enumerate(steps, start=1))
    opening = chance.choice((f"Untuk {task}, {steps[0]}.", f"Pertama, {steps[0]}.", f"Mula-mula, {steps[0]}."))
    links = ("Kemudian", "Setelah itu", "Berikutnya")
    middle = " ".join(f"{link}, {step}." for link, step in zip(links, steps[1:-1], strict=False))
    return f"{opening} {middle} Terakhir, {steps[-1]}."
