"""Word lists: opposites, synonyms, English equivalents, groups of words, names, and the small grammar of everyday
sentences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data_prep.bundled.countries import entries

_OPPOSITES = """
besar kecil; tinggi rendah; panjang pendek; tebal tipis; berat ringan; cepat lambat; panas dingin; terang gelap;
tua muda;
kaya miskin; rajin malas; pandai bodoh; bersih kotor; basah kering; keras lunak; kuat lemah; jauh dekat; mahal
murah; baru lama;
banyak sedikit; penuh kosong; luas sempit; dalam dangkal; tajam tumpul; kasar halus; manis pahit; lapar kenyang;
senang sedih;
berani takut; jujur bohong; ramai sepi; siang malam; pagi sore; atas bawah; depan belakang; kiri kanan; masuk
keluar; naik turun;
datang pergi; membuka menutup; membeli menjual; menang kalah; hidup mati; awal akhir; pertama terakhir;
laki-laki perempuan; maju mundur;
tidur bangun; menangis tertawa; ingat lupa; benar salah; mudah sulit; sehat sakit; untung rugi; kawan lawan;
timur barat; utara selatan;
luar dalam; mengisi mengosongkan; menerima memberi; gemuk kurus; cantik jelek; subur tandus; sibuk santai; padat
renggang; lurus bengkok;
rapi berantakan; sama berbeda; setuju menolak; bertanya menjawab; duduk berdiri; mencintai membenci; menambah
mengurangi; terbit tenggelam
"""

_SYNONYMS = """
pintar cerdas; cantik elok; senang gembira; melihat memandang; bapak ayah; matahari surya;
bulan candra; laut samudra; kawan teman; guru pengajar; murid siswa; bunga kembang; hewan binatang; sakit nyeri;
cepat lekas; kaya berada; miskin papa; buku kitab; makan bersantap; tidur terlelap; berkata berucap; marah
gusar; takut gentar;
haus dahaga; indah permai; harum wangi; bohong dusta; lelah letih; sulit sukar; mudah gampang; dingin sejuk;
kuno purba; hadiah bingkisan;
karyawan pegawai; pedagang saudagar; hutan rimba; desa kampung; dunia jagat; angin bayu;
gedung bangunan; acara kegiatan; aneh ganjil; arti makna; bantuan pertolongan; cara metode; ilmu pengetahuan;
jarang langka; manfaat guna; nasib takdir; obat penawar; paham mengerti; rajin tekun; rapat sidang; seluruh segenap;
sia-sia percuma; tamat selesai; tiba sampai; ujian tes; upah gaji; usia umur; wajah muka
"""

# Indonesian = English, one word or short noun phrase each
_DICTIONARY = """
buku=book; rumah=house; air=water; api=fire; pohon=tree; bunga=flower; matahari=sun; bulan=moon; bintang=star;
langit=sky; laut=sea;
gunung=mountain; sungai=river; jalan=road; jembatan=bridge; mobil=car; sepeda=bicycle; kereta api=train;
kapal=ship; pesawat=airplane; kota=city;
desa=village; sekolah=school; guru=teacher; murid=student; kelas=classroom; meja=table; kursi=chair; pintu=door;
jendela=window; dinding=wall;
atap=roof; dapur=kitchen; kamar tidur=bedroom; piring=plate; gelas=glass; sendok=spoon; pisau=knife; nasi=rice;
roti=bread; susu=milk; telur=egg;
ikan=fish; daging=meat; garam=salt; gula=sugar; kopi=coffee; teh=tea; buah=fruit; sayuran=vegetables;
kucing=cat; anjing=dog; burung=bird; kuda=horse;
sapi=cow; ayam=chicken; kambing=goat; gajah=elephant; harimau=tiger; ular=snake; monyet=monkey; kelinci=rabbit;
tikus=mouse; semut=ant; lebah=bee;
kepala=head; rambut=hair; mata=eye; telinga=ear; hidung=nose; mulut=mouth; gigi=tooth; tangan=hand; kaki=foot;
jari=finger; jantung=heart;
darah=blood; tulang=bone; ayah=father; ibu=mother; anak=child; bayi=baby; teman=friend; tetangga=neighbor;
dokter=doctor; petani=farmer; nelayan=fisherman;
raja=king; ratu=queen; hari=day; minggu=week; tahun=year; pagi=morning; malam=night; kemarin=yesterday;
besok=tomorrow; hujan=rain; angin=wind;
awan=cloud; salju=snow; tanah=soil; batu=stone; pasir=sand; emas=gold; perak=silver; besi=iron; kayu=wood;
kertas=paper; kain=cloth; baju=shirt;
celana=trousers; sepatu=shoes; topi=hat; tas=bag; uang=money; pasar=market; toko=shop; bahasa=language;
kata=word; surat=letter; gambar=picture;
lagu=song; cerita=story; mimpi=dream; permainan=game; hadiah=gift; kunci=key; jam=clock; lampu=lamp;
cermin=mirror; pensil=pencil; peta=map;
merah=red; biru=blue; kuning=yellow; hijau=green; putih=white; hitam=black; cokelat=brown; besar=big;
kecil=small; panjang=long; tinggi=tall;
baru=new; tua=old; muda=young; cepat=fast; lambat=slow; panas=hot; dingin=cold; bersih=clean; kotor=dirty;
bahagia=happy; sedih=sad; lapar=hungry;
haus=thirsty; makan=eat; minum=drink; tidur=sleep; berjalan=walk; berlari=run; membaca=read; menulis=write;
berbicara=speak; mendengar=hear;
melihat=see; membeli=buy; menjual=sell; bekerja=work; belajar=study; bermain=play; menyanyi=sing; menari=dance;
memasak=cook; tertawa=laugh
"""

WORD_GROUPS = {
    "buah": ("mangga", "pisang", "jeruk", "apel", "semangka", "nanas", "durian", "rambutan", "manggis", "pepaya"),
    "hewan": ("kucing", "gajah", "harimau", "kambing", "kuda", "kelinci", "monyet", "sapi", "rusa", "beruang"),
    "kendaraan": (
        "mobil",
        "sepeda",
        "bus",
        "kereta api",
        "kapal",
        "pesawat",
        "truk",
        "becak",
        "sepeda motor",
        "perahu",
    ),
    "warna": ("merah", "kuning", "hijau", "biru", "putih", "hitam", "ungu", "jingga", "cokelat", "abu-abu"),
    "alat tulis": ("pensil", "pulpen", "penghapus", "penggaris", "buku tulis", "spidol", "kertas", "rautan", "kapur"),
    "alat dapur": ("panci", "wajan", "sendok", "garpu", "piring", "pisau", "gelas", "kompor", "mangkuk", "talenan"),
    "pakaian": ("baju", "celana", "rok", "kemeja", "jaket", "kaus", "topi", "sarung", "kebaya", "gaun"),
    "anggota tubuh": ("mata", "hidung", "telinga", "mulut", "tangan", "kaki", "kepala", "leher", "bahu", "lutut"),
    "pekerjaan": ("guru", "dokter", "petani", "nelayan", "polisi", "pedagang", "penjahit", "sopir", "koki", "pilot"),
    "sayuran": ("bayam", "kangkung", "wortel", "kubis", "terung", "buncis", "sawi", "brokoli", "selada", "tomat"),
    "olahraga": (
        "sepak bola",
        "bulu tangkis",
        "bola voli",
        "renang",
        "tenis",
        "lari",
        "tinju",
        "pencak silat",
        "bola basket",
    ),
    "alat musik": (
        "gitar",
        "piano",
        "biola",
        "gendang",
        "angklung",
        "suling",
        "gong",
        "harmonika",
        "terompet",
        "rebana",
    ),
}

_NAMES = """
Budi Siti Rina Andi Dewi Joko Wati Agus Putri Hasan Lina Dimas Ayu Bayu Sari Rudi Tono Nita Eko Ratna
Wayan Made Ketut Asep Nining Togar Maria Yosef Yohana Fitri Rizki Galih Laras Bagus Intan Hendra Yuni Arif
Mega Doni Sinta Farhan Tika Bambang Melati Yanto Desi Iwan Nadia Surya
"""

NAMES = tuple(_NAMES.split())


@dataclass(frozen=True)
class Translation:
    """A phrase in both languages; `base` is the English bare infinitive where the phrase is a verb phrase."""

    indonesian: str
    english: str
    base: str = ""


SUBJECTS = tuple(
    Translation(*entry.split("="))
    for entry in entries(
        """
    ibu saya=my mother; ayah saya=my father; guru itu=the teacher; dokter itu=the doctor; petani itu=the farmer;
    kakak saya=my older sibling;
    adik saya=my younger sibling; teman saya=my friend; tetangga kami=our neighbor; paman saya=my uncle; bibi
    saya=my aunt; nenek saya=my grandmother;
    kakek saya=my grandfather; perempuan itu=the woman; laki-laki itu=the man; pelajar itu=the student; penulis
    itu=the writer; perawat itu=the nurse
    """
    )
)

# Indonesian verb phrase = English present participle phrase = English infinitive phrase
ACTIONS = tuple(
    Translation(*entry.split("="))
    for entry in entries(
        """
    membaca buku=reading a book=read a book; menulis surat=writing a letter=write a letter; memasak nasi=cooking
    rice=cook rice;
    minum kopi=drinking coffee=drink coffee; minum teh=drinking tea=drink tea; makan ikan=eating fish=eat fish;
    membeli roti=buying bread=buy bread;
    menjual buah=selling fruit=sell fruit; mencuci baju=washing clothes=wash clothes; mencuci piring=washing the
    dishes=wash the dishes;
    menyanyikan lagu=singing a song=sing a song; menonton televisi=watching television=watch television;
    mendengarkan musik=listening to music=listen to music; belajar bahasa Inggris=studying English=study English;
    bermain gitar=playing the guitar=play the guitar; membersihkan rumah=cleaning the house=clean the house;
    menyiram bunga=watering the flowers=water the flowers; memberi makan kucing=feeding the cat=feed the cat;
    menanam pohon=planting a tree=plant a tree; menggambar rumah=drawing a house=draw a house; memperbaiki
    sepeda=repairing a bicycle=repair a bicycle;
    membuka jendela=opening the window=open the window; menutup pintu=closing the door=close the door; mencari
    kunci=looking for the key=look for the key;
    menghitung uang=counting the money=count the money; menunggu bus=waiting for the bus=wait for the bus
    """
    )
)

ENGLISH_PLACES = tuple(
    Translation(*entry.split("="))
    for entry in entries(
        """
    di rumah=at home; di sekolah=at school; di pasar=at the market; di kantor=at the office; di taman=in the
    park; di desa=in the village;
    di depan rumah=in front of the house; di perpustakaan=in the library
    """
    )
)
FUTURE_TIMES = tuple(
    Translation(*entry.split("="))
    for entry in entries(
        """
    besok=tomorrow; minggu depan=next week; nanti malam=tonight; besok pagi=tomorrow morning; bulan depan=next month
    """
    )
)

# active verb | passive verb | objects; agents are people
_TRANSITIVES = """
memasak|dimasak|nasi, sayur, ikan, sup; membaca|dibaca|buku, koran, majalah, cerita; menulis|ditulis|surat,
laporan, puisi, catatan;
membeli|dibeli|beras, gula, sepatu, tas; menjual|dijual|buah, kain, sayuran, kue; mencuci|dicuci|piring, baju,
mobil, sepeda;
menyapu|disapu|lantai, halaman, teras, kamar; menanam|ditanam|padi, jagung, cabai, bunga;
menyiram|disiram|bunga, tanaman, kebun, rumput;
memperbaiki|diperbaiki|sepeda, radio, kursi, pagar; membuka|dibuka|pintu, jendela, lemari, gerbang;
menutup|ditutup|pintu, jendela, toko, botol;
mengirim|dikirim|surat, paket, uang, pesan; membawa|dibawa|tas, payung, bekal, buku; memotong|dipotong|kertas,
kayu, kue, sayur;
menggambar|digambar|rumah, gunung, pohon, kucing; menjahit|dijahit|baju, kain, celana, tas;
mengangkat|diangkat|meja, kursi, ember, kotak;
menyimpan|disimpan|uang, kunci, buku, makanan; mengecat|dicat|tembok, pagar, pintu, rumah;
memetik|dipetik|bunga, apel, teh, cabai;
meminjam|dipinjam|buku, pensil, sepeda, payung; mengambil|diambil|air, buku, pensil, topi;
menghapus|dihapus|papan tulis, tulisan, gambar, catatan
"""
AGENTS = ("Ibu", "Ayah", "Kakak", "Adik", "Paman", "Bibi", "Nenek", "Kakek", *NAMES[:24])
TIMES = (
    "setiap pagi", "setiap sore", "setiap hari", "setiap minggu", "tadi pagi", "pagi ini", "kemarin sore", "kemarin",
    "hari ini", "tadi malam", "minggu lalu", "dua hari yang lalu", "sejak tadi pagi", "sebelum makan siang",
)  # fmt: skip


@dataclass(frozen=True)
class Transitive:
    """A verb with its passive and the objects it goes with."""

    active: str
    passive: str
    objects: tuple[str, ...]


@cache
def opposites() -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in (entry.split() for entry in entries(_OPPOSITES)))


@cache
def synonyms() -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in (entry.split() for entry in entries(_SYNONYMS)))


@cache
def dictionary() -> tuple[Translation, ...]:
    return tuple(Translation(*entry.split("=")) for entry in entries(_DICTIONARY))


@cache
def transitives() -> tuple[Transitive, ...]:
    rows = (entry.split("|") for entry in entries(_TRANSITIVES))
    return tuple(Transitive(active, passive, tuple(objects.split(", "))) for active, passive, objects in rows)
