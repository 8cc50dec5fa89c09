"""Daily life: dishes, occupations, tools, places, instruments. Small tables, each fact beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data_prep.bundled.countries import entries

# name | main ingredient | what it is | taste or way of serving (a predicate)
_DISHES = """
rendang|daging sapi|masakan khas Sumatera Barat|dimasak lama dengan santan dan rempah;
gudeg|nangka muda|masakan khas Yogyakarta|memiliki rasa manis dan gurih;
pempek|ikan dan sagu|makanan khas Palembang|disajikan dengan kuah cuka yang disebut cuko;
rawon|daging sapi dan keluak|masakan khas Jawa Timur|memiliki kuah berwarna hitam;
gado-gado|sayuran rebus|makanan khas Indonesia|disiram dengan bumbu kacang;
pecel|sayuran rebus|makanan khas Jawa|disiram dengan sambal kacang;
ketoprak|tahu, ketupat, dan bihun|makanan khas Jakarta|disiram dengan bumbu kacang;
nasi goreng|nasi|masakan yang digemari di Indonesia|digoreng dengan bumbu dan kecap manis;
nasi uduk|beras dan santan|makanan khas Betawi|biasa dimakan pada pagi hari;
nasi kuning|beras, santan, dan kunyit|makanan khas Indonesia|sering disajikan dalam acara syukuran;
lontong sayur|beras dan sayuran|masakan khas Indonesia|disajikan dengan kuah santan;
bubur ayam|beras dan ayam|makanan yang biasa dimakan pada pagi hari|disajikan hangat dengan kecap dan kerupuk;
soto ayam|ayam|masakan berkuah khas Indonesia|memiliki kuah kuning karena kunyit;
bakso|daging giling dan tepung tapioka|makanan yang digemari di Indonesia|disajikan dengan kuah kaldu dan mi;
sate ayam|daging ayam|makanan khas Indonesia|ditusuk lalu dibakar di atas arang;
sate lilit|daging ikan giling|makanan khas Bali|dililitkan pada batang serai lalu dibakar;
ayam betutu|ayam|masakan khas Bali|dimasak dengan bumbu yang kaya rempah;
ayam taliwang|ayam kampung|masakan khas Lombok|dibakar dengan bumbu pedas;
papeda|sagu|makanan khas Papua dan Maluku|dimakan dengan ikan kuah kuning;
tinutuan|beras, labu, dan sayuran|bubur khas Manado|dikenal juga sebagai bubur manado;
coto makassar|daging dan jeroan sapi|masakan berkuah khas Makassar|dimakan dengan ketupat;
mi aceh|mi dan daging atau udang|masakan khas Aceh|memiliki rasa pedas dan kaya rempah;
tempe|kedelai|makanan khas Indonesia|dibuat melalui proses fermentasi;
tahu|kedelai|makanan yang digemari di Indonesia|memiliki tekstur yang lembut;
oncom|ampas kacang atau ampas tahu|makanan khas Jawa Barat|dibuat melalui proses fermentasi;
ketupat|beras|makanan khas Lebaran|dibungkus dengan anyaman daun kelapa muda;
lemang|beras ketan dan santan|makanan yang dibakar di dalam bambu|memiliki rasa gurih;
klepon|tepung ketan dan gula merah|kue tradisional Indonesia|ditaburi dengan kelapa parut;
serabi|tepung beras dan santan|kue tradisional Indonesia|dimasak di atas tungku kecil;
onde-onde|tepung ketan dan kacang hijau|kue tradisional|ditaburi dengan wijen;
kolak pisang|pisang dan santan|hidangan manis khas bulan Ramadan|memiliki kuah gula merah;
es cendol|tepung beras, santan, dan gula merah|minuman khas Indonesia|disajikan dengan es;
wedang jahe|jahe|minuman hangat khas Jawa|dapat menghangatkan tubuh;
bandrek|jahe dan gula merah|minuman hangat khas Sunda|diminum saat udara dingin;
sayur asem|sayuran dan asam jawa|masakan khas Indonesia|memiliki rasa asam dan segar;
sayur lodeh|sayuran dan santan|masakan khas Jawa|memiliki kuah santan yang gurih;
karedok|sayuran mentah|makanan khas Sunda|dicampur dengan bumbu kacang;
asinan bogor|buah dan sayuran|makanan khas Bogor|memiliki rasa asam, manis, dan pedas;
bika ambon|tepung, telur, dan santan|kue khas Medan|memiliki rongga seperti sarang lebah;
kerak telor|beras ketan dan telur|makanan khas Betawi|ditaburi dengan kelapa sangrai
"""

# name | what he or she does | where
_OCCUPATIONS = """
guru|mengajar murid|sekolah; dokter|memeriksa dan mengobati pasien|rumah sakit; perawat|merawat pasien|rumah sakit;
petani|menanam dan memanen padi|sawah; nelayan|menangkap ikan|laut; pedagang|menjual barang|pasar;
polisi|menjaga keamanan|kota dan desa;
tentara|menjaga pertahanan negara|markas dan perbatasan; pilot|menerbangkan pesawat|bandara; masinis|menjalankan
kereta api|stasiun dan rel;
nakhoda|memimpin pelayaran kapal|laut; sopir|mengemudikan mobil|jalan raya; koki|memasak makanan|restoran;
pelayan|melayani tamu|restoran; penjahit|menjahit pakaian|toko jahit; tukang kayu|membuat barang dari
kayu|bengkel kayu;
tukang batu|membangun tembok|tempat pembangunan; arsitek|merancang bangunan|kantor; insinyur sipil|merencanakan
jalan dan jembatan|proyek;
montir|memperbaiki mobil dan motor|bengkel; wartawan|mencari dan menulis berita|kantor berita; penulis|menulis
buku|rumah atau kantor;
pustakawan|mengelola buku|perpustakaan; hakim|memutus perkara|pengadilan; pengacara|membela kliennya|pengadilan;
jaksa|menuntut terdakwa|pengadilan;
apoteker|menyiapkan obat|apotek; dokter gigi|merawat gigi pasien|klinik gigi; dokter hewan|mengobati
hewan|klinik hewan;
peternak|memelihara ternak|peternakan; penyanyi|menyanyikan lagu|panggung; pelukis|membuat lukisan|sanggar;
penari|membawakan tarian|panggung;
fotografer|mengambil foto|studio foto; tukang cukur|memotong rambut|tempat cukur; pemadam kebakaran|memadamkan
api|tempat kebakaran;
satpam|menjaga keamanan gedung|gedung; kasir|menerima pembayaran|toko; tukang pos|mengantarkan surat|rumah penerima;
petugas kebersihan|menjaga kebersihan lingkungan|jalan dan gedung; programmer|menulis program komputer|kantor;
peneliti|melakukan penelitian|laboratorium;
dosen|mengajar mahasiswa|universitas; pramugari|melayani penumpang|pesawat; bidan|membantu ibu melahirkan|klinik
bersalin;
tukang kebun|merawat tanaman|taman dan kebun; pemandu wisata|memandu wisatawan|tempat wisata;
penerjemah|menerjemahkan teks|kantor;
tukang roti|membuat roti|toko roti; akuntan|mencatat dan memeriksa keuangan|kantor
"""

# name | purpose (after "untuk") | where it is found
_TOOLS = """
gunting|memotong kertas dan kain|meja belajar; pisau|memotong bahan makanan|dapur; sendok|mengambil
makanan|dapur; garpu|menusuk makanan|meja makan;
piring|menaruh makanan|dapur; gelas|minum|dapur; panci|merebus air dan sayur|dapur; wajan|menggoreng
makanan|dapur; kompor|memasak|dapur;
kulkas|menyimpan makanan agar tetap segar|dapur; sapu|membersihkan lantai dari debu|rumah; kain pel|mengepel
lantai|rumah; ember|menampung air|kamar mandi;
gayung|mengambil air|kamar mandi; sikat gigi|membersihkan gigi|kamar mandi; sabun|membersihkan badan|kamar
mandi; sampo|mencuci rambut|kamar mandi;
handuk|mengeringkan badan|kamar mandi; sisir|merapikan rambut|kamar tidur; cermin|melihat bayangan diri|kamar
tidur; bantal|menyangga kepala saat tidur|kamar tidur;
selimut|menghangatkan badan saat tidur|kamar tidur; lemari|menyimpan pakaian|kamar tidur; lampu|menerangi
ruangan|rumah; jam dinding|menunjukkan waktu|ruang tamu;
kalender|melihat tanggal|ruang tamu; payung|melindungi diri dari hujan|rumah; jas hujan|melindungi tubuh dari
hujan|motor; pensil|menulis dan menggambar|tempat pensil;
penghapus|menghapus tulisan pensil|tempat pensil; penggaris|mengukur panjang dan membuat garis|tempat pensil;
buku tulis|mencatat pelajaran|tas sekolah; tas|membawa barang|rumah dan sekolah;
papan tulis|menulis pelajaran di depan kelas|ruang kelas; kamus|mencari arti kata|perpustakaan; peta|melihat
letak suatu tempat|ruang kelas; globe|melihat bentuk bumi|ruang kelas;
palu|memukul paku|kotak perkakas; gergaji|memotong kayu|kotak perkakas; obeng|memutar sekrup|kotak perkakas;
tang|menjepit dan memotong kawat|kotak perkakas;
cangkul|menggali dan mengolah tanah|kebun; sabit|memotong rumput|kebun; jala|menangkap ikan|perahu nelayan;
timbangan|mengukur berat barang|pasar;
termometer|mengukur suhu|klinik; mikroskop|melihat benda yang sangat kecil|laboratorium; teleskop|melihat benda
langit|observatorium; kompas|menunjukkan arah utara|perlengkapan pendaki;
senter|menerangi jalan yang gelap|rumah; kipas angin|menyejukkan ruangan|rumah; setrika|merapikan pakaian yang
kusut|rumah; mesin cuci|mencuci pakaian|rumah;
jarum|menjahit kain|kotak jahit; telepon|berbicara dengan orang yang jauh|rumah dan kantor; kamera|mengambil
gambar|studio foto; kacamata|membantu penglihatan|toko optik;
helm|melindungi kepala saat berkendara|motor; pompa|mengisi angin ban|bengkel; tangga|menjangkau tempat yang
tinggi|rumah; kunci|membuka pintu yang terkunci|rumah
"""

# name | what is done there
_PLACES = """
sekolah|belajar dan mengajar; rumah sakit|merawat orang sakit; pasar|menjual dan membeli barang;
perpustakaan|membaca dan meminjam buku;
bandara|naik dan turun pesawat; stasiun|naik dan turun kereta api; pelabuhan|naik dan turun kapal; terminal|naik
dan turun bus; bank|menyimpan uang;
kantor pos|mengirim surat dan paket; museum|melihat benda bersejarah; kebun binatang|melihat berbagai hewan;
bioskop|menonton film; restoran|makan dan minum;
hotel|menginap; apotek|membeli obat; bengkel|memperbaiki kendaraan; masjid|beribadah bagi umat Islam;
gereja|beribadah bagi umat Kristen;
wihara|beribadah bagi umat Buddha; pura|beribadah bagi umat Hindu; stadion|menonton pertandingan olahraga; kolam
renang|berenang; pengadilan|menyidangkan perkara;
kantor polisi|melaporkan kejahatan; laboratorium|melakukan percobaan; pabrik|membuat barang dalam jumlah besar;
salon|merawat rambut dan wajah; toko buku|membeli buku;
warung|membeli makanan dan kebutuhan harian
"""

# name | region | how it is played
_INSTRUMENTS = """
angklung|Jawa Barat|digoyangkan; sasando|Pulau Rote|dipetik; kolintang|Minahasa|dipukul; suling||ditiup;
gendang||dipukul; gong||dipukul;
rebab||digesek; gitar||dipetik; biola||digesek; piano||ditekan tutsnya; terompet||ditiup; tifa|Papua dan
Maluku|dipukul;
saluang|Minangkabau|ditiup; kecapi||dipetik; sampek|Kalimantan|dipetik; gambang||dipukul; rebana||ditepuk;
harmonika||ditiup; tamborin||dipukul dan digoyangkan
"""


@dataclass(frozen=True)
class Dish:
    name: str
    ingredient: str
    kind: str
    feature: str


@dataclass(frozen=True)
class Occupation:
    name: str
    task: str
    place: str


@dataclass(frozen=True)
class Tool:
    name: str
    purpose: str
    place: str


@dataclass(frozen=True)
class Place:
    name: str
    activity: str


@dataclass(frozen=True)
class Instrument:
    name: str
    region: str
    played: str


@cache
def dishes() -> tuple[Dish, ...]:
    return tuple(Dish(*entry.split("|")) for entry in entries(_DISHES))


@cache
def occupations() -> tuple[Occupation, ...]:
    return tuple(Occupation(*entry.split("|")) for entry in entries(_OCCUPATIONS))


@cache
def tools() -> tuple[Tool, ...]:
    return tuple(Tool(*entry.split("|")) for entry in entries(_TOOLS))


@cache
def places() -> tuple[Place, ...]:
    return tuple(Place(*entry.split("|")) for entry in entries(_PLACES))


@cache
def instruments() -> tuple[Instrument, ...]:
    return tuple(Instrument(*entry.split("|")) for entry in entries(_INSTRUMENTS))
