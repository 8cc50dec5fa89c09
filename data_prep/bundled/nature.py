"""Animals, fruits, vegetables, planets and chemical elements: small tables of facts that are beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data_prep.bundled.countries import entries

# name | class | diet | food | habitat | a feature ("yang ..." is put before it)
_ANIMALS = """
gajah|mamalia|herbivora|rumput, daun, dan buah|hutan dan padang rumput|memiliki belalai yang panjang;
harimau|mamalia|karnivora|rusa dan babi hutan|hutan|memiliki bulu belang hitam;
singa|mamalia|karnivora|zebra dan kijang|padang rumput Afrika|hidup berkelompok;
jerapah|mamalia|herbivora|daun pohon yang tinggi|padang rumput Afrika|memiliki leher yang sangat panjang;
zebra|mamalia|herbivora|rumput|padang rumput Afrika|memiliki belang hitam dan putih;
badak|mamalia|herbivora|rumput, daun, dan ranting|hutan dan padang rumput|memiliki cula di bagian hidung;
kuda|mamalia|herbivora|rumput dan jerami|padang rumput dan peternakan|dapat berlari dengan cepat;
sapi|mamalia|herbivora|rumput|peternakan|menghasilkan susu;
kerbau|mamalia|herbivora|rumput|sawah dan padang rumput|sering membantu petani membajak sawah;
kambing|mamalia|herbivora|rumput dan daun|peternakan|memiliki tanduk dan janggut;
domba|mamalia|herbivora|rumput|peternakan|memiliki bulu tebal yang dapat dijadikan wol;
unta|mamalia|herbivora|rumput dan tumbuhan berduri|gurun|memiliki punuk di punggungnya;
kelinci|mamalia|herbivora|rumput dan wortel|padang rumput dan hutan|memiliki telinga yang panjang;
kucing|mamalia|karnivora|ikan dan daging|rumah manusia|pandai menangkap tikus;
serigala|mamalia|karnivora|rusa dan hewan kecil|hutan|berburu secara berkelompok;
beruang|mamalia|omnivora|ikan, madu, dan buah|hutan dan pegunungan|memiliki bulu yang tebal;
orang utan|mamalia|omnivora|buah, daun, dan serangga|hutan Kalimantan dan Sumatra|memiliki bulu berwarna cokelat
kemerahan;
tikus|mamalia|omnivora|biji-bijian dan sisa makanan|sawah dan permukiman|memiliki gigi depan yang tajam;
paus biru|mamalia|karnivora|udang kecil yang disebut kril|laut|merupakan hewan terbesar di dunia;
lumba-lumba|mamalia|karnivora|ikan dan cumi-cumi|laut|bernapas dengan paru-paru;
kelelawar buah|mamalia|herbivora|buah dan nektar|gua dan pepohonan|aktif pada malam hari;
kanguru|mamalia|herbivora|rumput dan daun|padang rumput Australia|memiliki kantong untuk anaknya;
koala|mamalia|herbivora|daun eukaliptus|hutan Australia|tidur hampir sepanjang hari;
panda|mamalia|herbivora|bambu|hutan pegunungan Tiongkok|memiliki bulu hitam dan putih;
rusa|mamalia|herbivora|rumput dan daun|hutan dan padang rumput|memiliki tanduk bercabang pada jantannya;
kuda nil|mamalia|herbivora|rumput|sungai dan danau di Afrika|memiliki mulut yang sangat lebar;
landak|mamalia|herbivora|akar, buah, dan kulit kayu|hutan|memiliki duri yang tajam;
bekantan|mamalia|herbivora|daun dan buah|hutan bakau Kalimantan|memiliki hidung yang panjang;
anoa|mamalia|herbivora|rumput, daun, dan buah|hutan Sulawesi|bertubuh seperti kerbau kecil;
elang|burung|karnivora|tikus, ular, dan ikan|hutan dan pegunungan|memiliki penglihatan yang tajam;
merpati|burung|herbivora|biji-bijian|permukiman dan taman|dapat menemukan jalan pulang dari tempat yang jauh;
ayam|burung|omnivora|biji-bijian dan cacing|peternakan dan halaman rumah|menghasilkan telur;
bebek|burung|omnivora|tumbuhan air, biji-bijian, dan siput|sawah dan kolam|memiliki selaput di kakinya;
angsa|burung|herbivora|rumput dan tumbuhan air|danau dan kolam|memiliki leher yang panjang;
burung hantu|burung|karnivora|tikus dan serangga|hutan dan kebun|aktif pada malam hari;
merak|burung|omnivora|biji-bijian, buah, dan serangga|hutan dan padang rumput|memiliki bulu ekor yang indah;
penguin|burung|karnivora|ikan dan kril|pesisir belahan bumi selatan|tidak dapat terbang, tetapi pandai berenang;
burung unta|burung|omnivora|tumbuhan dan serangga|padang rumput Afrika|merupakan burung terbesar di dunia;
cenderawasih|burung|omnivora|buah dan serangga|hutan Papua|memiliki bulu yang sangat indah;
kasuari|burung|omnivora|buah dan hewan kecil|hutan Papua|tidak dapat terbang;
maleo|burung|omnivora|biji-bijian, buah, dan serangga|hutan Sulawesi|mengubur telurnya di dalam pasir;
pelatuk|burung|omnivora|serangga dan buah|hutan|melubangi batang pohon dengan paruhnya;
nuri|burung|herbivora|buah, biji-bijian, dan nektar|hutan|memiliki bulu berwarna cerah;
komodo|reptil|karnivora|rusa dan babi hutan|Pulau Komodo dan sekitarnya|merupakan kadal terbesar di dunia;
buaya|reptil|karnivora|ikan dan hewan lain|sungai dan rawa|memiliki rahang yang sangat kuat;
ular sanca|reptil|karnivora|tikus dan burung|hutan dan kebun|melilit mangsanya sampai mati;
penyu hijau|reptil|herbivora|lamun dan ganggang|laut|bertelur di pantai berpasir;
cecak|reptil|karnivora|nyamuk dan serangga kecil|dinding rumah|dapat memutuskan ekornya;
bunglon|reptil|karnivora|serangga|pepohonan|dapat mengubah warna kulitnya;
katak|amfibi|karnivora|nyamuk dan serangga lain|sawah, kolam, dan sungai|melompat dengan kaki belakangnya;
salamander|amfibi|karnivora|cacing dan serangga|tempat yang lembap dan teduh|dapat menumbuhkan kembali ekornya;
hiu|ikan|karnivora|ikan dan anjing laut|laut|memiliki gigi yang tajam dan berlapis-lapis;
ikan mas|ikan|omnivora|tumbuhan air, lumut, dan cacing|kolam dan sungai|sering dipelihara di kolam;
ikan lele|ikan|omnivora|cacing dan hewan kecil|kolam dan sungai|memiliki sungut di sekitar mulutnya;
ikan tuna|ikan|karnivora|ikan kecil dan cumi-cumi|laut|dapat berenang dengan sangat cepat;
kuda laut|ikan|karnivora|udang-udangan kecil|laut dangkal|memiliki kepala seperti kuda;
belut|ikan|karnivora|cacing dan ikan kecil|sawah dan rawa|memiliki tubuh yang panjang dan licin;
lebah madu|serangga|herbivora|nektar dan serbuk sari|sarang di pohon|menghasilkan madu;
kupu-kupu|serangga|herbivora|nektar bunga|taman dan kebun|memiliki sayap berwarna-warni;
semut|serangga|omnivora|gula, biji-bijian, dan serangga kecil|sarang di dalam tanah|bekerja sama dalam koloni;
belalang|serangga|herbivora|rumput dan daun|sawah dan padang rumput|pandai melompat;
jangkrik|serangga|omnivora|daun dan sisa tumbuhan|sawah dan kebun|berbunyi nyaring pada malam hari;
capung|serangga|karnivora|nyamuk dan serangga kecil|sekitar sungai dan kolam|memiliki dua pasang sayap yang tipis;
kepik|serangga|karnivora|kutu daun|kebun dan taman|memiliki sayap merah berbintik hitam;
rayap|serangga|herbivora|kayu|sarang di dalam tanah|dapat merusak kayu bangunan;
kunang-kunang|serangga|karnivora|siput kecil|kebun dan tepi sungai|mengeluarkan cahaya pada malam hari
"""

# name | colour of the ripe skin | taste | where it grows
_FRUITS = """
mangga|hijau atau kuning|manis|pohon; pisang|kuning|manis|pohon; jeruk|jingga|manis dan sedikit asam|pohon;
apel|merah atau hijau|manis|pohon; semangka|hijau|manis dan segar|tanaman merambat; melon|hijau
muda|manis|tanaman merambat;
pepaya|kuning kehijauan|manis|pohon; nanas|kuning|manis dan asam|tanaman rendah; durian|hijau kekuningan|manis|pohon;
rambutan|merah|manis|pohon; manggis|ungu tua|manis dan sedikit asam|pohon; salak|cokelat|manis dan sepat|tanaman
berduri;
anggur|ungu atau hijau|manis|tanaman merambat; stroberi|merah|manis dan asam|tanaman rendah;
jambu air|merah atau hijau|segar|pohon; jambu biji|hijau kekuningan|manis|pohon; belimbing|kuning|manis dan
segar|pohon;
sirsak|hijau|manis dan asam|pohon; alpukat|hijau|gurih|pohon; nangka|hijau kekuningan|manis|pohon;
sawo|cokelat|manis|pohon; duku|kuning muda|manis|pohon; kelengkeng|cokelat muda|manis|pohon; leci|merah|manis|pohon;
lemon|kuning|asam|pohon; jeruk nipis|hijau|asam|pohon; buah naga|merah muda|manis|tanaman merambat;
ceri|merah|manis|pohon
"""

# name | the part that is eaten | colour
_VEGETABLES = """
bayam|daun|hijau; kangkung|daun dan batang|hijau; wortel|akar|jingga; lobak|akar|putih; singkong|akar|putih;
ubi jalar|akar|ungu, jingga, atau putih; bawang merah|umbi|merah keunguan; bawang putih|umbi|putih;
kentang|umbi|kuning muda;
tomat|buah|merah; terung|buah|ungu; mentimun|buah|hijau; cabai|buah|merah atau hijau; labu|buah|jingga;
pare|buah|hijau;
kacang panjang|buah|hijau; buncis|buah|hijau; brokoli|bunga|hijau; kembang kol|bunga|putih; sawi|daun|hijau;
kubis|daun|hijau muda;
selada|daun|hijau; seledri|daun dan batang|hijau; jagung|biji|kuning; kedelai|biji|kuning; kacang tanah|biji|cokelat;
asparagus|batang muda|hijau; rebung|batang muda bambu|putih kekuningan; daun bawang|daun|hijau
"""

_PLANETS = ("Merkurius", "Venus", "Bumi", "Mars", "Jupiter", "Saturnus", "Uranus", "Neptunus")
_PLANET_FEATURES = {
    "Merkurius": "merupakan planet terkecil di tata surya",
    "Venus": "merupakan planet terpanas di tata surya",
    "Bumi": "merupakan tempat hidup manusia, hewan, dan tumbuhan",
    "Mars": "sering disebut planet merah",
    "Jupiter": "merupakan planet terbesar di tata surya",
    "Saturnus": "terkenal karena cincinnya yang indah",
    "Uranus": "berputar dengan poros yang sangat miring",
    "Neptunus": "merupakan planet terjauh dari Matahari",
}

# name | symbol | atomic number
_ELEMENTS = """
hidrogen|H|1; helium|He|2; litium|Li|3; berilium|Be|4; boron|B|5; karbon|C|6; nitrogen|N|7; oksigen|O|8; fluorin|F|9;
neon|Ne|10; natrium|Na|11; magnesium|Mg|12; aluminium|Al|13; silikon|Si|14; fosforus|P|15; belerang|S|16;
klorin|Cl|17;
argon|Ar|18; kalium|K|19; kalsium|Ca|20; titanium|Ti|22; kromium|Cr|24; mangan|Mn|25; besi|Fe|26; kobalt|Co|27;
nikel|Ni|28;
tembaga|Cu|29; seng|Zn|30; bromin|Br|35; perak|Ag|47; timah|Sn|50; iodin|I|53; barium|Ba|56; platina|Pt|78;
emas|Au|79;
raksa|Hg|80; timbal|Pb|82; radium|Ra|88; uranium|U|92
"""


@dataclass(frozen=True)
class Animal:
    name: str
    kind: str  # mamalia, burung, reptil, amfibi, ikan, serangga
    diet: str  # herbivora, karnivora, omnivora
    food: str
    habitat: str
    feature: str  # a predicate: "memiliki belalai yang panjang"


@dataclass(frozen=True)
class Fruit:
    name: str
    colour: str
    taste: str
    plant: str


@dataclass(frozen=True)
class Vegetable:
    name: str
    part: str
    colour: str


@dataclass(frozen=True)
class Planet:
    name: str
    position: int  # from the Sun, from 1
    feature: str


@dataclass(frozen=True)
class Element:
    name: str
    symbol: str
    number: int


@cache
def animals() -> tuple[Animal, ...]:
    return tuple(Animal(*entry.split("|")) for entry in entries(_ANIMALS))


@cache
def fruits() -> tuple[Fruit, ...]:
    return tuple(Fruit(*entry.split("|")) for entry in entries(_FRUITS))


@cache
def vegetables() -> tuple[Vegetable, ...]:
    return tuple(Vegetable(*entry.split("|")) for entry in entries(_VEGETABLES))


@cache
def planets() -> tuple[Planet, ...]:
    return tuple(Planet(name, position, _PLANET_FEATURES[name]) for position, name in enumerate(_PLANETS, start=1))


@cache
def elements() -> tuple[Element, ...]:
    rows = (entry.split("|") for entry in entries(_ELEMENTS))
    return tuple(Element(name, symbol, int(number)) for name, symbol, number in rows)
