"""Makes `profanity.tsv` from the npm package cuss 2.2.0 (MIT): word, weight, language, source.

    npm pack cuss@2.2.0
    PYTHONPATH=. .venv/bin/python filters/data/build_profanity.py cuss-2.2.0.tgz

cuss rates how sure one can be that a word is used as a profanity (2, 1, 0), not how bad it is, and its
authors warn against filtering with it. So the rating is only where we start; the weights are:

    2     cannot be meant well (`STRONG`)
    1     profane in nearly every use
    0.5   has a decent meaning too (medical, a name, an animal, a mild oath): counts only in company, see
          filters/safety.py

Left out are ordinary English words that cuss rates 2 ("welfare", "tinker", "chunky") and those that name
people, places, faiths or nations.

The English list was read word by word, and what it finds in 1.3 million words of real pages was looked at.
The other languages were not read: there only the words of `SURE` weigh 1, and all others need company.
Phrases of several words are left out.
"""

import argparse
import re
import tarfile
from pathlib import Path

from filters.words import split_words

LANGUAGES = {"index": "en", "es": "es", "fr": "fr", "it": "it", "pt": "pt", "pt-pt": "pt"}

STRONG = re.compile("fuck|cunt|nigger|nigga|faggot|cocksuck|mothafuck|motherfuck")

# Rated 1 by cuss ("maybe"), profane in nearly every use.
PROMOTED = """
analsex ballsack bitch bitches clit cunilingus cunillingus nipplering phonesex pornflick pussy sexhouse
sextoy sextoys shit
"""

# Rated 1 by cuss, with a decent use: kept, in company only. What is not named here is left out.
AMBIGUOUS_ONES = """
anal anus balls bastard beastality beastial bestial bestiality bondage boob boobs brothel buttplug
clitoris cock condom copulate crotch cunnilingus cybersex damn damnation dick dike dildo dyke ejaculate
ejaculated ejaculating ejaculation erection fag fart farted farting felatio fetish foreskin foursome
genital horny incest intercourse interracial kink kinky knockers lapdance libido lolita nipple nude nymph
oral orgasm orgies orgy pearlnecklace peepshow penetration penile penis penises playboy playgirl porn
porno pornography pube pubic queer randy rape raped scrotum scum semen sex sexual sexually sexy shag
slaughter spank sperm strapon stroking suck swallow teat testicle testicles threesome tit tits turd
vagina vaginal vibrator vulva xxx
"""

# Rated 2 by cuss, with a decent use: in company only.
AMBIGUOUS_TWOS = """
arse ass asses bazooms beaner beaners bitchin bitchy biteme bollick bollock bollocks boner boong bugger
buggered bullcrap burrhead burrheads butthead chinaman chinamen chink chinks chinky chode commie coon
coons crap crapola crapper crappy cum cumming dago dagos dammit damnit darkie darkies dickless
dingleberry dink dinks fagging fagot fellatio fister fisting fubar fugly gangbanger godammit goddamit
goddammit goddamn goddamned goddamnit golliwog golliwogs greaseball greaseballs gyp gyped gypped hardon
heeb heebs honkey honkeys honkie honkies honky hooker hookers hooters hotdamn hussy injun injuns insest
jackass jap japs kaffer kaffir kaffre kanake kike kissass koon krap krauts kunt lesbain lesbayn lesbin
lesbo lez lezbe lezbo lezz mastabate mastabater masterbate mastrabator masturbate masturbating moneyshot
muff muncher negress negro negroes negroid negros nig nigers nookey nookie orgasim paki pakis peckerwood
pedo peehole perv picaninny pikey pimp pimped pimper piss pissed pisser pisses pissin pissing pissoff
polack polacks poof poop prick pussies quim raper rearentry retard rimming sambo sambos sexpot shagging
shat shite shiting shitty skank skanky slimeball smut sodomise sodomize sodomy spic spick spik spooge
spunk squaw stripclub tard tittie titties titty tosser trailertrash trannie tranny upthebutt vibrater
wetback wetbacks wetspot whitey whiteys whities whorehouse wog wogs wop wtf yid yids zipperhead
zipperheads
"""

# Rated 2 by cuss and left out: ordinary words, names, places, and peoples.
ORDINARY = """
abeed arabush arabushs argie armo armos asshore backdoorman barf beanbag beanbags beaney beaneys bluegum
bluegums boang boche boches bogan bohunk bong booby boody boonie boonies booty bosche bosches boschs
buddhahead buddhaheads buffies bufter bufty bule bules bung bunga bungas cacker carruth chav cheesehead
cheeseheads choad chonkies chonky chonkys chug chugs chunger chungers chunkies chunky chunkys clamdigger
clansman clansmen clanswoman clanswomen cockfight cocksman cocksmith cocky cohee coolie coolies cooly
coondog cracka cumm cummer cumquat cunn cushi cushis cyberslimer dahmer dego degos diddle dipstick dix
dong doodoo dope dragqueen dumb dyefly eatme ero esqua evl exkwew faeces farty fatah fatso flange floo
flydie flydye fok footstar forni fu gables gangsta geez geezer geni getiton gipp gippo gippos gipps
glazeddonut gonorrehea gora goras gotohell greaser greasers gringo gringos groid groids gubba gubbas gubs
gummer gwailo gwailos gweilo gweilos gyopo gyopos gypo gypos gypp gyppie gyppies gyppo gyppos gyppy
gyppys gypsies gypsy gypsys hadji hadjis hairyback hairybacks haji hajis hajji hajjis halfbreed halfcaste
haole haoles hapa hebe hebes hillbillies hillbilly hindoo hiscock hitlerism hitlerist ho hobo hodgie hoes
homo honger honkers hore hori horis hork hoser hottotrot hymie hymies idiot ikeymo ikeymos ikwe indon
indons inthebuff jacktheripper japie japies jebus jeez jewed jewess jig jigg jigga jiggabo jiggabos
jiggas jigger jiggers jiggs jiggy jigs jimfish juggalo kacap kacapas kacaps kafir katsap katsaps khokhol
khokhols kigger kimchis kkk klansman klansmen klanswoman klanswomen kondum kuffar kum kummer kumming
kumquat kums kushi kushis kwa kyopo kyopos lebo lebos limey limy loadedgun looser loser lovebone lovegun
loverocket lowlife lubra lugan lugans mabuno mabunos macaca macacas magicwand mahbuno mahbunos mams
manhater masterblaster maumau maumaus meatrack mickeyfinn mockey mockie mocky moky moron moskal moskals
moslem mosshead motherlovebone mulatto munt mzungu mzungus negres nigar nigars nigette nigettes niggard
niggarded niggarding niggardliness niggardlinesss niggards niggle niggled niggles niggling nigglings
nigor nigors nigr nigra nigras nigre nigres nip nittit noonan nudger orga palesimian pansies pansy panti
payo peepee phungky pickaninnies pickaninny piefke piefkes piker piky pocha pochas pocho pochos
pocketpool pohm pohms pollock pollocks pom pommie pommies pommy poms poo poon pooper pooperscooper
pooping popimp pric pud pudd puke puss quashie queef quickie rearend redleg redlegs redneck rednecks
redskin redskins reefer reestie rere retarded rigger russki russkie sadis sadom sandm scallywag schvartse
schvartsen schwartze schwartzen seppo seppos sexed sexing shav sheeney shiksa shylock shylocks sissy
sixsixsix skum skwa skwe slanty slapper slave slavedriver slideitin sloper slopers slopey slopeys slopies
slopy snowback sooties sooty spig spigotty spit spitter spreadeagle spunky sqeh squa squarehead
squareheads squinty stringer stuinties stupid sucker swallower swalow taff tang tarbaby teste thicklip
thicklips thirdeye thirdleg threeway tinker tinkers tortur transvestite triplex tuckahoe tunneloflove
turnon twink twinkie uck ukrop usama vibr vomit wab waysted weenie weewee welcher welfare wetb whacker
whash whigger whiggers whiz whop willie wn wuss wuzzie xkwe yank yanks yarpie yarpies yellowman
"""

# Other languages: profane in nearly every use. All other words need company.
SURE = {
    "es": """
cabron cabrona cabrón chingar cojones coño follar gilipollas joder maricon maricón mierda pendejo puta
putas puto putos verga zorra
""",
    "fr": "branleur connard connasse couille enculer enculé fdp merde niquer putain pute salaud salope",
    "it": """
cazzi cazzo coglione coglioni culo fica figa frocio inculare merda minchia pompino puttana puttane stronza
stronzo troia vaffanculo zoccola
""",
    "pt": "arrombado boceta buceta cabrão cacete caralho foda foder merda paneleiro piroca porra puta viado",
}

# Inflections that cuss lacks, as (like, word): each weighs what the word that it is like weighs.
ADDED = """
cunt cunts  faggot faggots  motherfucker motherfuckers  cocksucker cocksuckers  whore whores
dickhead dickheads  wanker wankers  twat twats  prick pricks  dipshit dipshits  bastard bastards
dumbass dumbasses  asswipe asswipes  dick dicks  cock cocks  nipple nipples  blowjob blowjobs
handjob handjobs  dildo dildos  cumshot cumshots  shithead shitheads
"""

_ENTRY = re.compile(r"^  '?((?:[^':\\]|\\')+?)'?: ([012]),?$", re.MULTILINE)


def main() -> None:
    """Write `profanity.tsv` beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="the tar archive of cuss 2.2.0")
    rows: dict[tuple[str, str], float] = {}
    with tarfile.open(parser.parse_args().package) as archive:
        for file, language in LANGUAGES.items():
            member = archive.extractfile(f"package/{file}.js")
            assert member is not None  # noqa: S101 - the package has it
            for word, rating in _ENTRY.findall(member.read().decode()):
                weight = weigh(word, int(rating), language)
                if weight and len(split_words(word)) == 1:
                    key = (language, word.replace("\\'", "'"))
                    rows[key] = max(rows.get(key, 0), weight)
    added = ADDED.split()
    ours = {("en", word): rows["en", like] for like, word in zip(added[::2], added[1::2], strict=True)}
    lines = [
        f"{word}\t{weight:g}\t{language}\t{'cuss 2.2.0' if (language, word) in rows else 'corpusmill'}\n"
        for (language, word), weight in sorted((ours | rows).items())
    ]
    content = "word\tweight\tlanguage\tsource\n" + "".join(lines)
    Path(__file__).with_name("profanity.tsv").write_text(content, encoding="utf-8")


def weigh(word: str, rating: int, language: str) -> float:
    """The weight of a word, 0 to leave it out."""
    if language != "en":
        return 1.0 if word in SURE[language].split() else 0.5 if rating == 2 else 0.0
    if rating == 0 or word in ORDINARY.split():
        return 0.0
    if rating == 1:
        return 1.0 if word in PROMOTED.split() else 0.5 if word in AMBIGUOUS_ONES.split() else 0.0
    if STRONG.search(word):
        return 2.0
    return 0.5 if word in AMBIGUOUS_TWOS.split() else 1.0


if __name__ == "__main__":
    main()
